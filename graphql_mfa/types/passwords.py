"""Changing and resetting a password."""

from typing import Annotated

import strawberry

from graphql_mfa.types.errors import InvalidInput, RateLimited, UserError, fixed_message, outcomes_of
from graphql_mfa.types.sessions import NotAuthenticated, ReauthenticationRequired
from graphql_mfa.types.sign_in import InvalidCredentials


@strawberry.type(
    description="The account has a new password. Its other sessions (after a reset: all) and open challenges were "
    "ended; one-time codes that were off are on again.\n\n"
    "Say that `sessionsEnded` other sessions were signed out. After a reset, show the login form."
)
class PasswordChanged:
    sessions_ended: int = strawberry.field(description="Number of sessions ended.")


@strawberry.type(
    description="The one-time code or the recovery code is wrong, used, or not accepted now, or the account has no "
    "authenticator app or doesn't exist; the answer doesn't reveal which. The attempt was counted.\n\n"
    "Ask for the username, the one-time code and the recovery code again."
)
class ResetRejected(UserError):
    message: str = fixed_message(
        "The password was not reset: the name or one of the two codes is wrong, or can't be used now. Enter all three "
        "again, with the code that your authenticator app shows next. If that fails too, set the clock of your "
        "phone to automatic."
    )


ChangePasswordResult = Annotated[
    PasswordChanged | InvalidCredentials | InvalidInput | NotAuthenticated | ReauthenticationRequired | RateLimited,
    outcomes_of("changePassword"),
]
ResetPasswordResult = Annotated[
    PasswordChanged | ResetRejected | InvalidInput | RateLimited, outcomes_of("resetPassword")
]
