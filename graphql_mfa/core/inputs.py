"""Input: text, typed codes, ids, and why a value is refused."""

import re
import unicodedata
from dataclasses import dataclass
from enum import auto
from uuid import UUID

from graphql_mfa.core import Described

_SURROGATE = re.compile("[\ud800-\udfff]")
# Invisible letters, marks and symbols: Unicode's Default_Ignorable_Code_Point, and the blank Braille pattern.
_INVISIBLE = (
    frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
    | frozenset(map(chr, range(0x180B, 0x1810)))
    | frozenset(map(chr, range(0xFE00, 0xFE10)))
    | frozenset(map(chr, range(0xE0100, 0xE01F0)))
)
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def is_text(raw: str) -> bool:
    """Whether the text has no lone surrogates, which JSON can represent and UTF-8 can't."""
    return _SURROGATE.search(raw) is None


def is_visible(character: str) -> bool:
    """Whether the character is visible in a name, or is a space."""
    return character not in _INVISIBLE and unicodedata.category(character) not in _REFUSED_CATEGORIES


# A variation selector after a character, joiners between two characters, the tags of a flag such as Scotland's.
_SHAPING = re.compile(
    "(?<=\\S)[\ufe00-\ufe0f\u180b-\u180d\U000e0100-\U000e01ef]"
    "|(?<=\\S)[\u200c\u200d]+(?=\\S)"
    "|(?<=\U0001f3f4)[\U000e0020-\U000e007e]+\U000e007f"
)


def is_shown(text: str) -> bool:
    """Whether every character is visible or shapes visible ones. Such texts can look alike: show them to owners."""
    return all(map(is_visible, _SHAPING.sub("", text)))


def trim(raw: str) -> str:
    """Strip white space and format characters, which pasting and keyboards add, from both ends."""
    shown = [index for index, character in enumerate(raw) if not _is_blank(character)]
    return raw[shown[0] : shown[-1] + 1] if shown else ""


def _is_blank(character: str) -> bool:
    # Tags at the end of a flag have category Cf too.
    is_tag = "\U000e0020" <= character <= "\U000e007f"
    return character.isspace() or (unicodedata.category(character) == "Cf" and not is_tag)


def quantity(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# Dashes outside category Pd: minus, modifier minus, and the prolonged sound mark of kana keyboards.
_DASHES = "\u2212\u02d7\u30fc\uff70"
_DOTS = ".\u00b7\u2022\u2024\u2027\u2219\u22c5\u3002\u30fb\uff0e\uff61\uff65"
_QUOTES = "\"'`\u00b4\u201a\u201e\u2032\u2033\u301d\u301e\u301f\uff02\uff07\uff40"
_SEPARATORS = frozenset(_DASHES + _DOTS + _QUOTES)
_SEPARATOR_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Pd", "Pi", "Pf", "Cf"})
_LONGEST_TYPED_CODE = 256


def plain_code(raw: str) -> str:
    """The plain form of a typed or pasted code.

    Decimal digits of any script become ASCII digits. Spaces, dashes, dots, quotes, format characters and variation
    selectors are dropped. Other characters stay, for the caller to refuse; NFKC would accept ² and ① too. A text of
    more than 256 code points becomes empty.
    """
    if len(raw) > _LONGEST_TYPED_CODE:
        return ""
    return "".join(
        str(unicodedata.decimal(character, character))
        for character in raw
        if not character.isspace()
        and character not in _SEPARATORS
        and character not in _INVISIBLE
        and unicodedata.category(character) not in _SEPARATOR_CATEGORIES
    )


def parse_id(raw: str) -> UUID | None:
    """Read an id in the form in which the API returns it. None for other texts, even if `UUID` accepts them."""
    try:
        found = UUID(raw)
    except ValueError:
        return None
    return found if str(found) == raw else None


def parse_id_or_nil(raw: str) -> UUID:
    """Read an id. Malformed ids become the nil UUID, so the lookup runs the same statements and misses."""
    return parse_id(raw) or UUID(int=0)


class FieldErrorCode(Described):
    """Why a value was refused. New values may be added."""

    TOO_SHORT = auto(), "Fewer characters than `policy`, or the message, allows."
    TOO_LONG = auto(), "More characters than `policy`, or the message, allows."
    INVALID_CHARACTERS = auto(), "It contains characters that are not allowed in this field."
    TOO_COMMON = auto(), "The password is common or easily guessed; the message says why and what would help."
    CONTAINS_USERNAME = auto(), "The password contains the username."
    UNCHANGED = auto(), "The new value equals the old one."


@dataclass(frozen=True)
class Problem:
    """Why the value of an input field is refused. The message never repeats the value."""

    code: FieldErrorCode
    message: str


_LONGEST_FACTOR_NAME = 64


def parse_factor_name(raw: str) -> str | Problem:
    """Validate the name of an authenticator app or passkey: trimmed, 1 to 64 code points."""
    name = trim(raw)
    if not name:
        return Problem(FieldErrorCode.TOO_SHORT, "A name has at least one visible character.")
    if len(name) > _LONGEST_FACTOR_NAME:
        return Problem(FieldErrorCode.TOO_LONG, f"A name has at most {_LONGEST_FACTOR_NAME} characters.")
    if not is_shown(name):
        return Problem(FieldErrorCode.INVALID_CHARACTERS, "A name has no control or invisible characters.")
    return name
