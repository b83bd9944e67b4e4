"""Input values: ids, and why a value is refused."""

from dataclasses import dataclass
from enum import auto
from uuid import UUID

from graphql_mfa.core.enums import Described

_NIL = UUID(int=0)


def parse_id(raw: str) -> UUID | None:
    """Read an id in the form in which the API returns it. None for any other of the spellings that `UUID` accepts."""
    try:
        found = UUID(raw)
    except ValueError:
        return None
    return found if str(found) == raw else None


def parse_id_or_nil(raw: str) -> UUID:
    """Read an id. Malformed ids become the nil UUID, so the lookup runs the same statements and misses."""
    return parse_id(raw) or _NIL


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
