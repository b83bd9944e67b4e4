"""Multi-factor sign-in as a GraphQL API."""

from graphql_mfa.api.root import Mutation, Query
from graphql_mfa.app import create_app
from graphql_mfa.core.security_events import SecurityEvent
from graphql_mfa.mfa import GraphQLMFA
from graphql_mfa.mfa import RequireSession as SignedIn
from graphql_mfa.services import Authenticated, ClaimsRequest, Registration
from graphql_mfa.settings import Settings
from graphql_mfa.store.migrations import include_object
from graphql_mfa.store.models import Base
from graphql_mfa.store.sqlite import configure_sqlite
from graphql_mfa.types.errors import PublicError

metadata = Base.metadata
"""The tables of the store, for foreign keys: `ForeignKey(graphql_mfa.metadata.tables["mfa_users"].c.id)`."""

__all__ = [
    "Authenticated",
    "ClaimsRequest",
    "GraphQLMFA",
    "Mutation",
    "PublicError",
    "Query",
    "Registration",
    "SecurityEvent",
    "Settings",
    "SignedIn",
    "configure_sqlite",
    "create_app",
    "include_object",
    "metadata",
]
