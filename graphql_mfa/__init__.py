"""Multi-factor sign-in as a GraphQL API."""

from graphql_mfa.api.mutations import Mutation
from graphql_mfa.api.queries import Query
from graphql_mfa.app import create_app
from graphql_mfa.flows.services import Registration
from graphql_mfa.mfa import GraphQLMFA
from graphql_mfa.settings import Settings

__all__ = ["GraphQLMFA", "Mutation", "Query", "Registration", "Settings", "create_app"]
