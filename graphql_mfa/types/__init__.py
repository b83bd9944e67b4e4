"""The GraphQL types that use cases return. Each outcome is declared once, with its text."""

from graphql_mfa.types import enums as enums  # before any type has a field of an enum
