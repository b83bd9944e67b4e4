"""Which names an account can have, when two names are one, and when they look alike."""

import unicodedata
from dataclasses import dataclass

from graphql_mfa.core.inputs import FieldErrorCode, Problem
from graphql_mfa.core.lookalikes import mixes_scripts, skeleton
from graphql_mfa.core.texts import is_visible, quantity, trim
from graphql_mfa.core.tokens import Purpose, digest

# Wider than any setting, so that accounts made under other settings are found too.
_LONGEST_STORED = 255


@dataclass(frozen=True)
class Username:
    """A name as it was typed, and the key under which it is unique."""

    shown: str
    key: str

    @property
    def skeleton(self) -> bytes:
        """A digest that names have in common if one could be taken for the other."""
        return skeleton_digest(self.shown)

    @property
    def mixes_scripts(self) -> bool:
        """Whether a part of it has letters of several scripts, which can look like those of one."""
        return mixes_scripts(unicodedata.normalize("NFKC", self.shown))


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
        return Problem(FieldErrorCode.TOO_LONG, f"A username has at most {quantity(longest, 'character')}.")
    key = username_key(raw)
    # Both forms are looked at: a full-width colon becomes the otpauth label's separator only when it is normalised.
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
    """Judge the name of a new account: as `parse_username`, and each part of it in one script."""
    name = parse_username(raw, shortest=shortest, longest=longest)
    if isinstance(name, Username) and name.mixes_scripts:
        return Problem(
            FieldErrorCode.INVALID_CHARACTERS,
            "A username has letters of one script between spaces, dots, hyphens, underscores and @. This one mixes "
            "scripts, such as Latin and Cyrillic.",
        )
    return name


def skeleton_digest(shown: str) -> bytes:
    """A digest of the skeleton of a name as it is shown. A skeleton itself can be too long for an index.

    Prototypes can be capitals, and names are one whatever their case: hence the folding, and the skeleton of that.
    """
    first = skeleton(unicodedata.normalize("NFKC", shown))
    return digest(Purpose.USERNAME_SKELETON, skeleton(username_key(first)))


def lookup_key(raw: str) -> str:
    """The key of the account that is meant; empty when no account can have that name."""
    name = parse_username(trim(raw), shortest=1, longest=_LONGEST_STORED)
    return name.key if isinstance(name, Username) else ""
