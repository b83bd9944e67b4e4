"""Find out whom an access token speaks for."""

from datetime import datetime

from graphql_mfa.context import Authenticated
from graphql_mfa.core.access_tokens import TokenExpired, TokenInvalid, TokenSubject
from graphql_mfa.core.accounts import NotAuthenticatedReason
from graphql_mfa.services import Services
from graphql_mfa.store import sessions
from graphql_mfa.types.sessions import NotAuthenticated


def check_token(services: Services, access_token: str | None, now: datetime) -> TokenSubject | NotAuthenticated:
    """Check the token alone: its session may be over."""
    if access_token is None:
        return NotAuthenticated.of(NotAuthenticatedReason.TOKEN_MISSING)
    match services.access_tokens.check(access_token, now):
        case TokenInvalid():
            return NotAuthenticated.of(NotAuthenticatedReason.TOKEN_INVALID)
        case TokenExpired():
            return NotAuthenticated.of(NotAuthenticatedReason.TOKEN_EXPIRED)
        case subject:
            return subject


async def authenticate(services: Services, access_token: str | None) -> Authenticated | NotAuthenticated:
    """Check the token, then that its session still lives: a session that was ended is over at once."""
    now = services.clock()
    subject = check_token(services, access_token, now)
    if isinstance(subject, NotAuthenticated):
        return subject
    found = await services.database.read(lambda connection: sessions.find_account(connection, subject.session_id, now))
    if found is None:
        return NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)
    account, authenticated_at, may_be_fresh = found
    if account.id != subject.user_id:
        return NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)
    return Authenticated(subject.session_id, authenticated_at, account, may_be_fresh)
