"""Which names an account can have, and when two names are one."""

import unicodedata
from dataclasses import dataclass

from graphql_mfa.core.problems import Problem, ProblemCode

# Code points that show nothing although their general category is a letter, a mark or a symbol
# (Unicode's Default_Ignorable_Code_Point, and the blank Braille pattern).
_INVISIBLE = (
    frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
    | frozenset(map(chr, range(0x180B, 0x1810)))
    | frozenset(map(chr, range(0xFE00, 0xFE10)))
    | frozenset(map(chr, range(0xE0100, 0xE01F0)))
)
# Control, format, surrogate, private use, unassigned, line and paragraph separator.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


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
        return Problem("username", ProblemCode.TOO_LONG, f"A username has at most {longest} characters.")
    key = username_key(raw)
    # Both forms are looked at: a full-width colon becomes the otpauth label's separator only when it is normalised.
    if any(not _allowed(character) for character in raw + key) or key != key.strip(" ") or raw != raw.strip():
        return Problem(
            "username",
            ProblemCode.INVALID_CHARACTERS,
            "A username has no control or invisible characters, no colon, and no space at its start or end.",
        )
    if min(len(raw), len(key)) < shortest:
        return Problem("username", ProblemCode.TOO_SHORT, f"A username has at least {shortest} characters.")
    return Username(raw, key)


def _allowed(character: str) -> bool:
    return (
        character != ":" and character not in _INVISIBLE and unicodedata.category(character) not in _REFUSED_CATEGORIES
    )
