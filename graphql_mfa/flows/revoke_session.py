"""End one of the user's sessions, from another or from itself."""

from graphql_mfa.client import Client
from graphql_mfa.core.ids import id_to_look_for
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.signed_in import Caller, act_counted
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, sessions
from graphql_mfa.types.errors import NotFound, shown_id
from graphql_mfa.types.sessions import RevokeSessionResult, SessionRevoked


async def revoke_session(
    services: Services, access_token: str | None, session_id: str, client: Client
) -> RevokeSessionResult:
    """End it at once. An id that is malformed, unknown, over or another user's costs the same statements."""
    revoked_id = id_to_look_for(session_id)

    def revoke(connection: Connection, caller: Caller) -> SessionRevoked | NotFound:
        if not sessions.end_own(connection, revoked_id, caller.user.id, caller.now):
            return NotFound()
        services.events.record(connection, caller.user.id, caller.now, client, SecurityEventKind.SESSION_ENDED)
        return SessionRevoked(id=shown_id(revoked_id), user=caller.shown)

    return await act_counted(services, access_token, revoke)
