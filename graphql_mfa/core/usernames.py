"""Which names an account can have, and when two names are one."""

import unicodedata
from dataclasses import dataclass

from graphql_mfa.core.problems import FieldErrorCode, Problem
from graphql_mfa.core.texts import is_visible, quantity, trim

# Wider than any setting, so that accounts made under other settings are found too.
_LONGEST_STORED = 255


@dataclass(frozen=True)
class Username:
    """A name as it was typed, and the key under which it is unique."""

    shown: str
    key: str


def username_key(name: str) -> str:
    """The key under which names that differ only in case, width or composition are one (NFKC and case folding).

    Folding can undo a normalisation and the other way round, hence both twice (Unicode chapter 3.13, D146).
    """
    for _ in range(2):
        name = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", name)


def parse_username(raw: str, *, shortest: int, longest: int) -> Username | Problem:
    """Judge a name. Lengths are in code points; the longest is checked before anything is normalised."""
    if len(raw) > longest:
        return Problem("username", FieldErrorCode.TOO_LONG, f"A username has at most {quantity(longest, 'character')}.")
    key = username_key(raw)
    # Both forms are looked at: a full-width colon becomes the otpauth label's separator only when it is normalised.
    if (
        any(not is_visible(character) or character == ":" for character in raw + key)
        or key != key.strip(" ")
        or raw != raw.strip()
    ):
        return Problem(
            "username",
            FieldErrorCode.INVALID_CHARACTERS,
            "A username has no control or invisible characters, no colon, and no space at its start or end.",
        )
    if min(len(raw), len(key)) < shortest:
        return Problem(
            "username", FieldErrorCode.TOO_SHORT, f"A username has at least {quantity(shortest, 'character')}."
        )
    return Username(raw, key)


def lookup_key(raw: str) -> str:
    """The key of the account that is meant; empty when no account can have that name."""
    name = parse_username(trim(raw), shortest=1, longest=_LONGEST_STORED)
    return name.key if isinstance(name, Username) else ""
