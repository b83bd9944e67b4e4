"""All mutations, and which of them may stand beside each other in an operation."""

import strawberry

from graphql_mfa.api.account_mutations import AccountMutation
from graphql_mfa.api.sign_in_mutations import SignInMutation


@strawberry.type(description="Write operations. Each returns a union of its outcomes: switch on `__typename`.")
class Mutation(AccountMutation, SignInMutation):
    pass


# At most one of these per operation: each is a guess at a secret, and several would share one request's cost.
CREDENTIAL_FIELDS = frozenset(
    {
        "registerUser",
        "login",
        "verifyOtp",
        "verifyRecoveryCode",
        "restartEnrollment",
        "refreshSession",
        "reauthenticate",
        "confirmTotpDevice",
        "changePassword",
        "resetPassword",
    }
)
