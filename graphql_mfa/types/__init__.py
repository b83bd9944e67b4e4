"""The GraphQL types that use cases return. Each outcome is declared once, with its text."""

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from graphql_mfa.core import Described
from graphql_mfa.core.accounts import FactorKind, NotAuthenticatedReason
from graphql_mfa.core.inputs import FieldErrorCode
from graphql_mfa.core.security_events import SecurityEventKind


def _register(cls: type[Described]) -> None:
    """Register an enum. Its docstring and its members' descriptions become those of the schema."""
    strawberry.enum(cls, description=cls.__doc__)
    definition: StrawberryEnumDefinition = cls.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = cls[value.name].description


# Before any type has a field of an enum.
for _enum in (FactorKind, FieldErrorCode, NotAuthenticatedReason, SecurityEventKind):
    _register(_enum)
