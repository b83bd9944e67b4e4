"""The effect of an outcome on the HTTP response and the log."""

from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    default_field_resolver,
    get_nullable_type,
)
from strawberry.types import get_object_definition
from strawberry.utils.await_maybe import await_maybe

from graphql_mfa.context import RequestContext
from graphql_mfa.http import cookie_mode
from graphql_mfa.types.accounts import AccountDeleted
from graphql_mfa.types.sessions import LogoutSuccess, NotAuthenticated, SessionExpired, SessionRevoked
from graphql_mfa.types.sign_in import SignInSuccess


def apply_outcomes(schema: GraphQLSchema) -> None:
    """Make each root field that returns a union, a host's too, apply its outcome to the response and the log."""
    for root in (schema.query_type, schema.mutation_type):
        for field in root.fields.values() if root else ():
            if isinstance(get_nullable_type(field.type), GraphQLUnionType):
                field.resolve = _applying(field.resolve or default_field_resolver)


def _applying(resolve: Callable[..., Any]) -> Callable[..., Any]:
    async def resolve_and_apply(
        source: object, info: GraphQLResolveInfo[RequestContext], **arguments: object
    ) -> object:
        outcome = await await_maybe(resolve(source, info, **arguments))
        _apply(info.context, info.field_name, outcome)
        return outcome

    return resolve_and_apply


def _apply(context: RequestContext, field_name: str, outcome: object) -> None:
    definition = get_object_definition(outcome)
    if definition is None:
        return
    context.outcomes.append(f"{field_name}={definition.name}")
    match outcome:
        case SignInSuccess():
            cookie_mode.move_to_cookie(context, outcome.tokens)
        case LogoutSuccess() | AccountDeleted():
            cookie_mode.expire_cookie(context)
        case SessionRevoked() if outcome.id == str(outcome.user.session_id):
            cookie_mode.expire_cookie(context)
        case SessionExpired() | NotAuthenticated() if context.uses_cookie:
            cookie_mode.expire_cookie(context)
    if isinstance(outcome, NotAuthenticated):
        context.reject_access_token()
    context.uses_cookie = False
