"""Remove an authenticator app."""

from graphql_mfa.client import Client
from graphql_mfa.core.ids import id_to_look_for
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.signed_in import Caller, act_freshly
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, sessions, totp_devices
from graphql_mfa.types.errors import NotFound, shown_id
from graphql_mfa.types.totp import FactorRemoved, LastFactor, RemoveFactorResult


async def remove_totp_device(
    services: Services, access_token: str | None, id: str, client: Client
) -> RemoveFactorResult:
    """Remove it, unless it is the last one that was confirmed. One that never was never counted, and makes no event.

    The other sessions that it opened or verified last may be a thief's: they end. This one has to verify another factor
    before sensitive operations.
    """
    device_id = id_to_look_for(id)

    def remove(connection: Connection, caller: Caller) -> FactorRemoved | LastFactor | NotFound:
        user = caller.user
        held = totp_devices.hold(connection, device_id, user.id, caller.now)
        if held is None:
            return NotFound()
        if held.shown.confirmed:
            if totp_devices.count_confirmed(connection, user.id) == 1:
                return LastFactor()
            services.events.record(connection, user.id, caller.now, client, SecurityEventKind.TOTP_DEVICE_REMOVED)
        totp_devices.remove(connection, device_id)
        session_id = caller.session.id
        ended = sessions.end_others_of_device(connection, device_id, session_id, user.id, caller.now)
        if caller.session.verified_by == device_id:
            sessions.make_stale(connection, session_id, caller.now)
        return FactorRemoved(id=shown_id(device_id), user=caller.shown, sessions_ended=ended)

    return await act_freshly(services, access_token, remove)
