"""What is text at all, and what of it can be seen."""

import re
import unicodedata

_SURROGATE = re.compile("[\ud800-\udfff]")
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


def is_text(raw: str) -> bool:
    """False for lone surrogates, which JSON can carry and UTF-8 cannot."""
    return _SURROGATE.search(raw) is None


def is_visible(character: str) -> bool:
    """Whether a person sees it in a name, or the space that it makes."""
    return character not in _INVISIBLE and unicodedata.category(character) not in _REFUSED_CATEGORIES
