"""Multi-factor sign-in as a GraphQL API."""

from graphql_mfa.app import create_app
from graphql_mfa.settings import Settings

__all__ = ["Settings", "create_app"]
