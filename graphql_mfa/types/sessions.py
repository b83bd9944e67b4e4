"""Sessions and their tokens."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias
from uuid import UUID

import strawberry

from graphql_mfa.core.accounts import FactorKind, NotAuthenticatedReason
from graphql_mfa.store.sessions import StoredSession
from graphql_mfa.types.errors import NotFound, RateLimited, UserError, fixed_message, outcomes_of

if TYPE_CHECKING:
    from graphql_mfa.types.accounts import User

LazyUser: TypeAlias = Annotated["User", strawberry.lazy("graphql_mfa.types.accounts")]


def seconds_until(moment: datetime, now: datetime) -> int:
    """Seconds from now until a moment, at least 0."""
    return max(0, round((moment - now).total_seconds()))


@strawberry.type(description="The tokens of a session.")
class TokenPair:
    access_token: str = strawberry.field(
        description="A JWT (RFC 9068) for the `Authorization: Bearer` header. Other services verify it with "
        "`/.well-known/jwks.json`."
    )
    access_token_expires_at: datetime = strawberry.field(description="When the access token expires.")
    access_token_expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    refresh_token: str | None = strawberry.field(
        description="For `refreshSession`, single-use. Null in cookie mode only, where it is in an HttpOnly cookie."
    )
    refresh_token_expires_at: datetime = strawberry.field(description="When the session ends unless it is refreshed.")


@strawberry.type(description="A session of the account: a device or browser that is signed in.")
class Session:
    id: strawberry.ID = strawberry.field(description="For `revokeSession`; the access token's `sid`.")
    current: bool = strawberry.field(description="Whether this request belongs to it.")
    created_at: datetime = strawberry.field(description="When it was opened.")
    last_used_at: datetime = strawberry.field(description="When it was last refreshed; if never, when it was opened.")
    authenticated_at: datetime = strawberry.field(description="When a second factor was last verified.")
    factors: list[FactorKind] = strawberry.field(description="The second factors verified in it.")
    user_agent: str | None = strawberry.field(
        description="The `User-Agent` of the client that opened or last refreshed it: up to 255 characters."
    )
    ip_address: str | None = strawberry.field(description="That client's address.")

    @classmethod
    def of(cls, session: StoredSession, current_id: UUID | None) -> "Session":
        """A stored session. current_id: the id of the session that reads it."""
        return cls(
            id=strawberry.ID(str(session.id)),
            current=session.id == current_id,
            created_at=session.created_at,
            last_used_at=session.refreshed_at,
            authenticated_at=session.authenticated_at,
            factors=list(session.factors),
            user_agent=session.user_agent,
            ip_address=session.ip_address,
        )


@strawberry.type(description="The refresh token is unknown or used, or its session has ended.\n\nShow the login form.")
class SessionExpired(UserError):
    message: str = fixed_message("Your session has expired. Log in again.")


_NOT_AUTHENTICATED = {
    NotAuthenticatedReason.TOKEN_MISSING: "You are not signed in. Log in first.",
    NotAuthenticatedReason.TOKEN_INVALID: "This token is not valid here. Log in again.",
    NotAuthenticatedReason.TOKEN_EXPIRED: "Your access token has expired. Refresh the session, then try again.",
    NotAuthenticatedReason.SESSION_ENDED: "Your session is over. Log in again.",
}


@strawberry.type(
    description="The operation requires a signed-in user; `reason` says what is wrong with the access token.\n\n"
    "For `TOKEN_EXPIRED`, call `refreshSession`, then retry. Otherwise show the login form."
)
class NotAuthenticated(UserError):
    reason: NotAuthenticatedReason = strawberry.field(description="The reason, for programs.")

    @classmethod
    def of(cls, reason: NotAuthenticatedReason) -> "NotAuthenticated":
        return cls(message=_NOT_AUTHENTICATED[reason], reason=reason)


@strawberry.type(
    description="The operation requires a second factor that was verified recently in this session.\n\n"
    "Ask for one of `factors`, call `reauthenticate`, then retry with the new access token. From `changePassword` "
    "without `currentPassword`: ask for a passkey, or for the current password."
)
class ReauthenticationRequired(UserError):
    message: str = fixed_message("Confirm that it is you, then try again.")
    factors: list[FactorKind] = strawberry.field(description="The factors that are accepted now.")


@strawberry.type(description="The session, or all of the user's sessions, ended.\n\nDiscard the tokens.")
class LogoutSuccess:
    sessions_ended: int = strawberry.field(description="Number of sessions ended.")


@strawberry.type(
    description="The session ended.\n\nRemove it from the list. If it was the current one, show the login form."
)
class SessionRevoked:
    id: strawberry.ID = strawberry.field(description="The session's id.")
    user: LazyUser = strawberry.field(description="The owner.")


LogoutResult = Annotated[LogoutSuccess | NotAuthenticated, outcomes_of("logout")]
RevokeSessionResult = Annotated[
    SessionRevoked | NotFound | NotAuthenticated | RateLimited, outcomes_of("revokeSession")
]
