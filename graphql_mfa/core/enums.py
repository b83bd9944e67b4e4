"""Enums whose members carry a description."""

from enum import StrEnum
from typing import Self


class Described(StrEnum):
    """A string enum whose members are declared as `NAME = "VALUE", "What it means."`."""

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        """A member with its description."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member
