"""Ids as clients send them back, and what can be wrong with one field of an input."""

from dataclasses import dataclass
from uuid import UUID

from graphql_mfa.core.enums import Described

_OF_NOTHING = UUID(int=0)


def parse_id(raw: str) -> UUID | None:
    """The id that is written so; None for anything but what was given out, which Python reads in more spellings."""
    try:
        found = UUID(raw)
    except ValueError:
        return None
    return found if str(found) == raw else None


def parse_id_or_nil(raw: str) -> UUID:
    """The id; for what is none, one that nothing has: it is looked for by the same statements, in the same time."""
    return parse_id(raw) or _OF_NOTHING


class FieldErrorCode(Described):
    """Why a value was refused. New values may be added."""

    TOO_SHORT = "TOO_SHORT", "Fewer characters than `policy`, or the message, allows."
    TOO_LONG = "TOO_LONG", "More characters than `policy`, or the message, allows."
    INVALID_CHARACTERS = "INVALID_CHARACTERS", "It holds characters that are not allowed in this field."
    TOO_COMMON = "TOO_COMMON", "The password is common or easily guessed; the message says why and what would help."
    CONTAINS_USERNAME = "CONTAINS_USERNAME", "The password contains the username."
    UNCHANGED = "UNCHANGED", "The new value is the old one."


@dataclass(frozen=True)
class Problem:
    """Why the value of a field is refused. The message never repeats the value."""

    code: FieldErrorCode
    message: str
