"""Recovery codes."""

from typing import Annotated

import strawberry

from graphql_mfa.types.errors import RateLimited, UserError, outcomes_of
from graphql_mfa.types.sessions import LazyUser, NotAuthenticated, ReauthenticationRequired
from graphql_mfa.types.totp import ATTEMPTS_LEFT, last_try


@strawberry.type(
    description="A new set of recovery codes. The old ones no longer work.\n\n"
    "Show `recoveryCodes`, which are returned only once, and ask the user to save them."
)
class RecoveryCodes:
    recovery_codes: list[str] = strawberry.field(
        description="Single-use codes for signing in without the app or passkey. Shown only once: ask the user to "
        "store them."
    )
    user: LazyUser = strawberry.field(description="The owner.")


@strawberry.type(
    description="The recovery code is wrong or used. The attempt was counted.\n\n"
    "Ask again. At `attemptsLeft` 0 show the login form; a signed-in user has to wait."
)
class InvalidRecoveryCode(UserError):
    attempts_left: int = strawberry.field(description=ATTEMPTS_LEFT)

    @classmethod
    def of(cls, attempts_left: int, *, in_session: bool) -> "InvalidRecoveryCode":
        """The failure, with advice that depends on the remaining attempts."""
        advice = "Enter another one." if attempts_left else last_try(in_session=in_session)
        return cls(message=f"This recovery code is wrong, or was used before. {advice}", attempts_left=attempts_left)


RegenerateRecoveryCodesResult = Annotated[
    RecoveryCodes | NotAuthenticated | ReauthenticationRequired | RateLimited, outcomes_of("regenerateRecoveryCodes")
]
