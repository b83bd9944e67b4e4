"""Security events: add, read, make anonymous."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, Uuid, bindparam, delete, insert, select, update

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
_MAKE_ANONYMOUS = (
    update(SecurityEvent)
    .where(_of_user)
    .values(user_id=bindparam("nobody", type_=Uuid()), ip_address=None, user_agent=None)
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


def make_anonymous(connection: Connection, user_id: UUID) -> None:
    """Keep what happened to an account, and when; nothing tells any more to which."""
    connection.execute(_MAKE_ANONYMOUS, {"user": user_id, "nobody": uuid4()})


def remove_all(connection: Connection, *user_ids: UUID) -> None:
    """Remove every event of those accounts."""
    connection.execute(_REMOVE_ALL, [{"user": user_id} for user_id in user_ids])
