"""Sessions and their tokens."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias
from uuid import UUID

import strawberry

from graphql_mfa.core.accounts import FactorKind, NotAuthenticatedReason
from graphql_mfa.store.sessions import ListedSession
from graphql_mfa.types.errors import NotFound, UserError, fixed_message
from graphql_mfa.types.throttling import RateLimited

if TYPE_CHECKING:
    from graphql_mfa.types.accounts import User

_User: TypeAlias = Annotated["User", strawberry.lazy("graphql_mfa.types.accounts")]


def seconds_until(moment: datetime, now: datetime) -> int:
    """The seconds from now until then, at least 0."""
    return max(0, round((moment - now).total_seconds()))


@strawberry.type(description="The tokens of a session.")
class TokenPair:
    access_token: str = strawberry.field(
        description="A JWT (RFC 9068) for the `Authorization: Bearer` header; other services check it against "
        "`/.well-known/jwks.json`."
    )
    access_token_expires_at: datetime = strawberry.field(description="When the access token expires.")
    access_token_expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    refresh_token: str | None = strawberry.field(
        description="For `refreshSession`, once. Null in cookie mode only, where it travels in an HttpOnly cookie."
    )
    refresh_token_expires_at: datetime = strawberry.field(
        description="When the session ends unless it is refreshed before."
    )


@strawberry.type(description="A place where the account is signed in.")
class Session:
    id: strawberry.ID = strawberry.field(description="For `revokeSession`; the access token's `sid`.")
    current: bool = strawberry.field(description="Whether it is the one that asks.")
    created_at: datetime = strawberry.field(description="When it was opened.")
    last_used_at: datetime = strawberry.field(description="When it was refreshed last, or opened if it never was.")
    authenticated_at: datetime = strawberry.field(description="When it verified a second factor last.")
    factors: list[FactorKind] = strawberry.field(description="The second factors that it verified.")
    user_agent: str | None = strawberry.field(
        description="What the client that opened or refreshed it last says it is: up to 255 characters, of its choice."
    )
    ip_address: str | None = strawberry.field(description="That client's address.")

    @classmethod
    def of(cls, session: ListedSession, current_id: UUID | None) -> "Session":
        """A stored session, as seen from the current one."""
        return cls(
            id=strawberry.ID(str(session.id)),
            current=session.id == current_id,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            authenticated_at=session.authenticated_at,
            factors=list(session.factors),
            user_agent=session.user_agent,
            ip_address=session.ip_address,
        )


@strawberry.type(
    description="The refresh token is unknown, was used before, or its session is over: the user signs in again."
)
class SessionExpired(UserError):
    message: str = fixed_message("Your session has expired. Log in again.")


_NOT_AUTHENTICATED = {
    NotAuthenticatedReason.TOKEN_MISSING: "You are not signed in. Log in first.",
    NotAuthenticatedReason.TOKEN_INVALID: "This token is not valid here. Log in again.",
    NotAuthenticatedReason.TOKEN_EXPIRED: "Your access token has expired. Refresh the session, then try again.",
    NotAuthenticatedReason.SESSION_ENDED: "Your session is over. Log in again.",
}


@strawberry.type(description="The operation needs a signed-in user.")
class NotAuthenticated(UserError):
    reason: NotAuthenticatedReason = strawberry.field(description="Why, for a program.")

    @classmethod
    def of(cls, reason: NotAuthenticatedReason) -> "NotAuthenticated":
        """The refusal for a reason."""
        return cls(message=_NOT_AUTHENTICATED[reason], reason=reason)


@strawberry.type(
    description="The operation is sensitive, and this session verified a second factor too long ago: call "
    "`reauthenticate`, then repeat it with the new access token."
)
class ReauthenticationRequired(UserError):
    message: str = fixed_message("Please confirm that it is you, with a code, then try again.")
    factors: list[FactorKind] = strawberry.field(description="What can be verified now.")


@strawberry.type(description="The session counts as fresh. Its refresh token stays as it is.")
class Reauthenticated:
    access_token: str = strawberry.field(description="Takes the place of the one before, which knows less.")
    access_token_expires_at: datetime = strawberry.field(description="When it expires.")
    access_token_expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    user: _User = strawberry.field(description="Whose session it is.")


@strawberry.type(description="The session is over, or all of the user's sessions are.")
class LogoutSuccess:
    sessions_ended: int = strawberry.field(description="How many sessions were ended.")


@strawberry.type(description="The session is over at once, everywhere.")
class SessionRevoked:
    id: strawberry.ID = strawberry.field(description="The session's id.")
    user: _User = strawberry.field(description="Whose session it was.")


LogoutResult = Annotated[
    LogoutSuccess | NotAuthenticated,
    strawberry.union("LogoutResult", description="Outcomes of `logout`. New members may join."),
]
RevokeSessionResult = Annotated[
    SessionRevoked | NotFound | NotAuthenticated | RateLimited,
    strawberry.union("RevokeSessionResult", description="Outcomes of `revokeSession`. New members may join."),
]
