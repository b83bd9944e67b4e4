"""Recovery codes: making a set, and using one up."""

from dataclasses import replace
from uuid import UUID

from graphql_mfa.client import Client
from graphql_mfa.core.recovery_codes import new_recovery_code, parse_recovery_code
from graphql_mfa.core.secret_tokens import Purpose, digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.signed_in import Caller, act_freshly
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, recovery_codes, sessions
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


def replace_recovery_codes(connection: Connection, services: Services, user_id: UUID) -> list[str]:
    """A new set, which is shown this once; the old one is dead."""
    codes = [new_recovery_code() for _ in range(services.settings.recovery_code_count)]
    recovery_codes.replace(connection, user_id, [_digest(code) for code in codes])
    return codes


def consume_recovery_code(connection: Connection, user_id: UUID, raw: str) -> bool:
    """Use a code up, however its owner types it: true for exactly one caller."""
    return recovery_codes.consume(connection, user_id, _digest(raw))


def hold_recovery_code(connection: Connection, user_id: UUID, raw: str) -> bool:
    """Whether the account has that code, however its owner types it; nobody else uses it up meanwhile."""
    return recovery_codes.hold(connection, user_id, _digest(raw))


def _digest(raw: str) -> bytes:
    """What is stored of a code; of what is no code at all, of nothing."""
    return digest(Purpose.RECOVERY_CODE, parse_recovery_code(raw) or "")
