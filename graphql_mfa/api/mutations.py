"""All mutations."""

import strawberry

from graphql_mfa.api.accounts import AccountMutation
from graphql_mfa.api.passwords import PasswordMutation
from graphql_mfa.api.recovery_codes import RecoveryCodeMutation
from graphql_mfa.api.sessions import SessionMutation
from graphql_mfa.api.sign_in import SignInMutation
from graphql_mfa.api.totp import TotpMutation


@strawberry.type(description="Write operations. Each returns a union of its outcomes: switch on `__typename`.")
class Mutation(AccountMutation, SignInMutation, SessionMutation, TotpMutation, RecoveryCodeMutation, PasswordMutation):
    pass
