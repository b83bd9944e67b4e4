"""GraphQL enums made of the enums in `core`."""

import enum
from typing import TypeVar, cast

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from graphql_mfa.core.enums import Described

E = TypeVar("E", bound=enum.EnumMeta)


def graphql_enum(cls: E) -> E:
    """Register an enum with Strawberry. Its docstring and its members' descriptions become those of the schema."""
    strawberry.enum(cls, description=cls.__doc__)
    definition: StrawberryEnumDefinition = cls.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = cast("Described", cls[value.name]).description
    return cls
