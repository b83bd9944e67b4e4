"""The root types: the queries, and all mutations."""

import strawberry

from graphql_mfa.api.accounts import AccountMutation
from graphql_mfa.api.passkeys import PasskeyMutation
from graphql_mfa.api.passwords import PasswordMutation
from graphql_mfa.api.recovery_codes import RecoveryCodeMutation
from graphql_mfa.api.sessions import SessionMutation
from graphql_mfa.api.sign_in import SignInMutation
from graphql_mfa.api.step_up import StepUpMutation
from graphql_mfa.api.totp import TotpMutation
from graphql_mfa.context import Info
from graphql_mfa.flows.signed_in import authenticate
from graphql_mfa.services import Authenticated
from graphql_mfa.types.accounts import AuthPolicy, User


@strawberry.type(description="Read operations.")
class Query:
    @strawberry.field(
        description="The signed-in user; null without a valid access token. For an invalid or expired token the "
        'response has the header `WWW-Authenticate: Bearer error="invalid_token"`, so that a client knows to refresh.'
    )
    async def me(self, info: Info) -> User | None:
        context = info.context
        caller = await authenticate(context.services, context.access_token)
        if isinstance(caller, Authenticated):
            return User.of(caller.account, caller.session_id)
        context.reject_access_token()
        return None

    @strawberry.field(description="The configuration that a sign-in form needs.")
    async def policy(self, info: Info) -> AuthPolicy:
        return AuthPolicy.of(info.context.services.settings)


@strawberry.type(description="Write operations. Each returns a union of its outcomes: switch on `__typename`.")
class Mutation(
    AccountMutation,
    SignInMutation,
    StepUpMutation,
    SessionMutation,
    TotpMutation,
    PasskeyMutation,
    RecoveryCodeMutation,
    PasswordMutation,
):
    pass
