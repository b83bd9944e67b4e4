"""Give the user a new set of recovery codes."""

from dataclasses import replace

from graphql_mfa.client import Client
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.recovery_codes import replace_recovery_codes
from graphql_mfa.flows.signed_in import Caller, act_freshly
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, sessions
from graphql_mfa.types.accounts import User
from graphql_mfa.types.recovery_codes import RecoveryCodes, RegenerateRecoveryCodesResult


async def regenerate_recovery_codes(
    services: Services, access_token: str | None, client: Client
) -> RegenerateRecoveryCodesResult:
    """Replace the set; the old one is dead at once. Of two callers at once, the codes of the later one stay.

    The account's other sessions have to verify a second factor again before sensitive operations: it may have been one
    of the old codes that they verified.
    """

    def regenerate(connection: Connection, caller: Caller) -> RecoveryCodes:
        codes = replace_recovery_codes(connection, services, caller.user.id)
        sessions.make_others_stale(connection, caller.session.id, caller.user.id, caller.now)
        kind = SecurityEventKind.RECOVERY_CODES_REGENERATED
        services.events.record(connection, caller.user.id, caller.now, client, kind)
        account = replace(caller.user.account, recovery_codes_left=len(codes))
        return RecoveryCodes(recovery_codes=codes, user=User.of(account, caller.session.id))

    return await act_freshly(services, access_token, regenerate)
