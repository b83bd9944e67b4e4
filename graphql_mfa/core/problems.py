"""What can be wrong with one field of an input."""

import enum
from dataclasses import dataclass


class ProblemCode(enum.Enum):
    """Why a value was refused, for a program."""

    TOO_SHORT = "TOO_SHORT"
    TOO_LONG = "TOO_LONG"
    INVALID_CHARACTERS = "INVALID_CHARACTERS"
    TOO_COMMON = "TOO_COMMON"
    CONTAINS_USERNAME = "CONTAINS_USERNAME"
    UNCHANGED = "UNCHANGED"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one field. The message never repeats the value."""

    field: str
    code: ProblemCode
    message: str
