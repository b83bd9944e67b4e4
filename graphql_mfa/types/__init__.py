"""The GraphQL types that use cases return. Each outcome is declared once, with its text."""

import strawberry

from graphql_mfa.core.accounts import FactorKind, NotAuthenticatedReason
from graphql_mfa.core.inputs import FieldErrorCode
from graphql_mfa.core.security_events import SecurityEventKind

# Runs before the modules of this package declare types with fields of these enums.
for _enum in (FactorKind, FieldErrorCode, NotAuthenticatedReason, SecurityEventKind):
    strawberry.enum(_enum, description=_enum.__doc__)
    for _value in _enum.__strawberry_definition__.values:  # type: ignore[union-attr]
        _value.description = _enum[_value.name].description
