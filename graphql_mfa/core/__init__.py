"""The rules: pure functions and values. No I/O, no clock (`now` is an argument), no framework."""

from enum import StrEnum
from typing import Self


class Described(StrEnum):
    """A string enum. `NAME = auto(), "Its description."` declares a member whose value is its name."""

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    @staticmethod
    def _generate_next_value_(name: str, *_: object) -> str:
        return name
