"""Security events: add, read."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, bindparam, insert, select

from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.store.models import SecurityEvent

_ADD = insert(SecurityEvent)
_NEWEST = (
    select(SecurityEvent.kind, SecurityEvent.at)
    .where(SecurityEvent.user_id == bindparam("user"))
    .order_by(SecurityEvent.at.desc())
    .limit(bindparam("rows"))
)


@dataclass(frozen=True)
class StoredEvent:
    """What happened, and when."""

    kind: SecurityEventKind
    at: datetime


def add(connection: Connection, user_id: UUID, kind: SecurityEventKind, now: datetime) -> None:
    """Remember it, in the transaction that does it."""
    connection.execute(_ADD, {"id": uuid4(), "user_id": user_id, "kind": kind.value, "at": now})


def newest(connection: Connection, user_id: UUID, rows: int) -> list[StoredEvent]:
    """The last events of an account."""
    found = connection.execute(_NEWEST, {"user": user_id, "rows": rows})
    return [StoredEvent(SecurityEventKind(row.kind), row.at) for row in found]
