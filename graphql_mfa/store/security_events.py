"""Security events: add, read."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, insert, select

from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.store.models import SecurityEvent

LAST_ID = UUID(int=2**128 - 1)

_ADD = insert(SecurityEvent)
_of_user = SecurityEvent.user_id == bindparam("user")
_NEWEST = (
    select(SecurityEvent.id, SecurityEvent.kind, SecurityEvent.at, SecurityEvent.ip_address, SecurityEvent.user_agent)
    .where(_of_user, SecurityEvent.id < bindparam("before"))
    .order_by(SecurityEvent.id.desc())
    .limit(bindparam("rows"))
)
_REMOVE_ALL = delete(SecurityEvent).where(_of_user)


@dataclass(frozen=True)
class StoredEvent:
    """What happened, when, and what is known of the client that did it."""

    id: UUID
    kind: SecurityEventKind
    at: datetime
    ip_address: str | None
    user_agent: str | None


def add(connection: Connection, user_id: UUID, events: list[StoredEvent]) -> None:
    """Remember them, in the transaction that does what they tell of."""
    connection.execute(_ADD, [vars(event) | {"user_id": user_id, "kind": event.kind.value} for event in events])


def newest(connection: Connection, user_id: UUID, rows: int, before: UUID = LAST_ID) -> list[StoredEvent]:
    """The last events of an account, newest first; those before the point in time that an event's id is."""
    found = connection.execute(_NEWEST, {"user": user_id, "before": before, "rows": rows})
    return [StoredEvent(row.id, SecurityEventKind(row.kind), row.at, row.ip_address, row.user_agent) for row in found]


def remove_all(connection: Connection, nobody: UUID) -> None:
    """Remove what this transaction recorded of an account that does not exist."""
    connection.execute(_REMOVE_ALL, {"user": nobody})
