"""Making a set of recovery codes, and using one up, as several use cases do."""

from uuid import UUID

from graphql_mfa.core.recovery_codes import new_recovery_code, parse_recovery_code
from graphql_mfa.core.secret_tokens import Purpose, digest
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, recovery_codes


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
