"""Accounts, their second factors, and their usernames."""

import json
import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from enum import auto
from functools import cache
from importlib.resources import files
from uuid import UUID

from graphql_mfa.core import Described
from graphql_mfa.core.inputs import FieldErrorCode, Problem, is_visible, quantity, trim
from graphql_mfa.core.tokens import Purpose, digest


class FactorKind(Described):
    """A kind of second factor. New values may be added."""

    TOTP = auto(), "A one-time code of an authenticator app (RFC 6238)."
    RECOVERY_CODE = auto(), "A single-use recovery code."
    PASSKEY = auto(), "A passkey (WebAuthn)."


PASSWORD_METHOD = "pwd"
"""In the methods of a session that began with a password (RFC 8176 2)."""


@dataclass(frozen=True)
class Proof:
    """A second factor that was just verified.

    factor_id: the authenticator app or passkey. user_verified: whether a passkey verified its user, which makes it two
    factors. synced: whether the passkey's provider keeps copies of it.
    """

    factor: FactorKind
    factor_id: UUID | None = None
    user_verified: bool = False
    synced: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        """Authentication methods (RFC 8176 2, which names none for a look-up secret)."""
        if self.factor is FactorKind.PASSKEY:
            return ("swk" if self.synced else "hwk", *["user"] * self.user_verified)
        return ("otp",) if self.factor is FactorKind.TOTP else ("recovery_code",)


class NotAuthenticatedReason(Described):
    """Why a request is not authenticated. New values may be added."""

    TOKEN_MISSING = auto(), "No token was sent."
    TOKEN_INVALID = auto(), "The token was not issued by this server."
    TOKEN_EXPIRED = auto(), "The access token has expired: call `refreshSession`, then retry."
    SESSION_ENDED = auto(), "The session was ended, or expired."


SESSIONS_PER_ACCOUNT = 100
"""Live sessions of one account; opening another one ends the least recently used."""


@dataclass(frozen=True)
class Account:
    """A stored account."""

    id: UUID
    username: str
    created_at: datetime
    mfa_enabled: bool
    recovery_codes_left: int


# More than any setting allows, so accounts created under other settings are found.
_LONGEST_STORED = 255


@dataclass(frozen=True)
class Username:
    """A username as typed, and the key by which it is unique."""

    shown: str
    key: str

    @property
    def skeleton(self) -> bytes:
        """A digest that is equal for look-alike names."""
        return skeleton_digest(self.shown)

    @property
    def mixes_scripts(self) -> bool:
        """Whether a part between spaces, `@`, `.`, `_` and `-` violates the "highly restrictive" level (UTS #39 5.2).

        That level allows one script or writing system, or Latin beside Chinese, Japanese or Korean.
        """
        parts = _BETWEEN_PARTS.split(unicodedata.normalize("NFKC", self.shown))
        return any(_mixes_scripts(part) for part in parts if not part.isascii())


def username_key(name: str) -> str:
    """The key of a name, equal for names that differ only in case, width or composition (NFKC and case folding).

    Both steps run twice, since each can undo the other (Unicode chapter 3.13, D146).
    """
    for _ in range(2):
        name = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", name)


def parse_username(raw: str, *, shortest: int, longest: int) -> Username | Problem:
    """Validate a name. Lengths are in code points; the maximum is checked before normalising."""
    if len(raw) > longest:
        return Problem(FieldErrorCode.TOO_LONG, f"A username has at most {quantity(longest, 'character')}.")
    key = username_key(raw)
    # Check both forms: normalising turns a full-width colon into the separator of otpauth labels.
    if (
        any(not is_visible(character) or character == ":" for character in raw + key)
        or key != key.strip(" ")
        or raw != raw.strip()
    ):
        return Problem(
            FieldErrorCode.INVALID_CHARACTERS,
            "A username has no control or invisible characters, no colon, and no space at its start or end.",
        )
    if min(len(raw), len(key)) < shortest:
        return Problem(FieldErrorCode.TOO_SHORT, f"A username has at least {quantity(shortest, 'character')}.")
    return Username(raw, key)


def parse_new_username(raw: str, *, shortest: int, longest: int) -> Username | Problem:
    """Validate the name of a new account: `parse_username`, and no part mixes scripts."""
    name = parse_username(raw, shortest=shortest, longest=longest)
    if isinstance(name, Username) and name.mixes_scripts:
        return Problem(
            FieldErrorCode.INVALID_CHARACTERS,
            "This name mixes scripts, such as Latin and Cyrillic. Use letters of one script between spaces, dots, "
            "hyphens, underscores and @.",
        )
    return name


def skeleton_digest(shown: str) -> bytes:
    """A digest of a name's skeleton, which can be too long for an index itself.

    Names are compared without case, and prototypes can be capitals: fold the skeleton, then take that one's skeleton.
    """
    first = skeleton(unicodedata.normalize("NFKC", shown))
    return digest(Purpose.USERNAME_SKELETON, skeleton(username_key(first)))


def lookup_key(raw: str) -> str:
    """The key to look an account up by; empty if no account can have this name."""
    name = parse_username(trim(raw), shortest=1, longest=_LONGEST_STORED)
    return name.key if isinstance(name, Username) else ""


# Writing systems of several scripts (UTS #39 5.1): Chinese with Bopomofo, Japanese, Korean.
_SYSTEMS = {"Hani": {"Hanb", "Jpan", "Kore"}, "Bopo": {"Hanb"}, "Hira": {"Jpan"}, "Kana": {"Jpan"}, "Hang": {"Kore"}}
_WITH_LATIN = frozenset({"Hanb", "Jpan", "Kore"})
_BETWEEN_PARTS = re.compile(r"[@._\-\s]+")


def skeleton(text: str) -> str:
    """The skeleton of a text without default-ignorable characters, equal for texts that look alike (UTS #39 4)."""
    prototypes, _, _ = _tables()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).translate(prototypes))


def _mixes_scripts(part: str) -> bool:
    found = [scripts for character in part if (scripts := _scripts_of(character))]
    beside_latin = [scripts for scripts in found if "Latn" not in scripts]
    return not _have_common(found) and not _have_common([_WITH_LATIN, *beside_latin])


def _have_common(sets: list[frozenset[str]]) -> bool:
    return not sets or bool(frozenset.intersection(*sets))


def _scripts_of(character: str) -> frozenset[str]:
    """Its scripts and writing systems; empty if it is common to all scripts, or newer than the tables."""
    _, starts, ranges = _tables()
    first, last, scripts = ranges[max(0, bisect_right(starts, ord(character)) - 1)]
    return scripts if first <= ord(character) <= last else frozenset()


@cache
def _tables() -> tuple[dict[int, str], list[int], list[tuple[int, int, frozenset[str]]]]:
    """Prototypes, the starts of the script ranges, and the ranges, of Unicode 17. Loaded at the first registration."""
    tables = json.loads(files("graphql_mfa.core").joinpath("unicode_tables.json").read_text("utf-8"))
    sets = cache(lambda scripts: frozenset(scripts.split()).union(*(_SYSTEMS.get(s, ()) for s in scripts.split())))
    ranges = [(first, last, sets(scripts)) for first, last, scripts in tables["scripts"]]
    return str.maketrans(tables["prototypes"]), [first for first, _, _ in ranges], ranges
