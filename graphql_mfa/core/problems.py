"""What can be wrong with one field of an input."""

from dataclasses import dataclass

from graphql_mfa.core.enums import Described


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
    """One thing that is wrong with one field. The message never repeats the value."""

    field: str
    code: FieldErrorCode
    message: str
