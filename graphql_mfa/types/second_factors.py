"""Removing an authenticator app or a passkey."""

from typing import Annotated

import strawberry

from graphql_mfa.types.errors import NotFound, RateLimited, UserError, fixed_message
from graphql_mfa.types.sessions import LazyUser, NotAuthenticated, ReauthenticationRequired


@strawberry.type(
    description="The second factor was removed, and is no longer accepted.\n\n"
    "Say that `sessionsEnded` other sessions were signed out."
)
class FactorRemoved:
    id: strawberry.ID = strawberry.field(description="The removed factor's id.")
    user: LazyUser = strawberry.field(description="The owner.")
    sessions_ended: int = strawberry.field(
        description="Number of other sessions ended: those opened by it, or last verified with it."
    )


@strawberry.type(
    description="The account's last second factor can't be removed. Recovery codes, which run out, don't count.\n\n"
    "Ask the user to add another one first."
)
class LastFactor(UserError):
    message: str = fixed_message("This is your last second factor. Add another one first.")


RemoveFactorResult = Annotated[
    FactorRemoved | LastFactor | NotFound | NotAuthenticated | ReauthenticationRequired | RateLimited,
    strawberry.union("RemoveFactorResult", description="Outcomes of removing a second factor. New members may join."),
]
