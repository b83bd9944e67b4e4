"""End a session, or all of a user's sessions."""

from graphql_mfa.client import Client
from graphql_mfa.context import Authenticated
from graphql_mfa.core.accounts import NotAuthenticatedReason
from graphql_mfa.core.refresh_tokens import family_digest
from graphql_mfa.core.secret_tokens import Purpose, token_digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.authenticate import authenticate
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, sessions
from graphql_mfa.store.sessions import TokenOwner
from graphql_mfa.types.sessions import LogoutResult, LogoutSuccess, NotAuthenticated


async def logout(
    services: Services, access_token: str | None, refresh_token: str | None, client: Client, *, everywhere: bool
) -> LogoutResult:
    """End the session of a valid access token; else that of the refresh token.

    A refresh token that was traded in serves as well, for its own session alone: using it would end that anyway, and
    whoever has it may be a thief.
    """
    caller = await authenticate(services, access_token)
    if isinstance(caller, Authenticated):
        session_id, user_id = caller.session_id, caller.account.id
    else:
        owner = await _owner(services, refresh_token) if refresh_token is not None else caller
        if isinstance(owner, NotAuthenticated):
            return owner
        session_id, user_id = owner.session_id, owner.user_id
        everywhere = everywhere and owner.is_current

    now = services.clock()

    def end(connection: Connection) -> int:
        ended = sessions.end_all(connection, user_id, now) if everywhere else sessions.end(connection, session_id)
        if ended:
            services.events.record(connection, user_id, now, client, SecurityEventKind.SESSION_ENDED)
        return ended

    ended = await services.database.write(end)
    # Nothing left to end: somebody else ended it in between.
    return LogoutSuccess(sessions_ended=ended) if ended else NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)


async def _owner(services: Services, refresh_token: str) -> TokenOwner | NotAuthenticated:
    token = token_digest(Purpose.REFRESH_TOKEN, refresh_token)
    if token is None:
        return NotAuthenticated.of(NotAuthenticatedReason.TOKEN_INVALID)
    now = services.clock()
    family = family_digest(refresh_token)
    owner = await services.database.read(
        lambda connection: sessions.find_by_refresh_token(connection, token, family, now)
    )
    return owner or NotAuthenticated.of(NotAuthenticatedReason.SESSION_ENDED)
