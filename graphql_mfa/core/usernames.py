"""Usernames: validation, comparison, and look-alikes."""

import unicodedata
from dataclasses import dataclass

from graphql_mfa.core.inputs import FieldErrorCode, Problem
from graphql_mfa.core.lookalikes import mixes_scripts, skeleton
from graphql_mfa.core.texts import is_visible, quantity, trim
from graphql_mfa.core.tokens import Purpose, digest

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
        """Whether a part of the name mixes scripts, whose letters can look alike."""
        return mixes_scripts(unicodedata.normalize("NFKC", self.shown))


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
