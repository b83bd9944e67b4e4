"""Security events: add, read."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, String, Uuid, and_, bindparam, delete, exists, func, insert, select

from graphql_mfa.core.security_events import SecurityEventKind, first_event_id
from graphql_mfa.store.models import SecurityEvent, UtcDateTime

LAST_ID = UUID(int=2**128 - 1)
_HOUR = timedelta(hours=1)

_ADD = insert(SecurityEvent)
_of_kind = and_(
    SecurityEvent.user_id == bindparam("of_user", type_=Uuid()),
    SecurityEvent.kind == bindparam("of_kind", type_=String),
)
_of_last_hour = (
    select(SecurityEvent.id)
    .where(_of_kind, SecurityEvent.id >= bindparam("hour_ago", type_=Uuid()))
    .limit(bindparam("most"))
    .subquery()
)
_since = exists().where(_of_kind, SecurityEvent.id >= bindparam("once_since", type_=Uuid()))
_ADD_BOUNDED = insert(SecurityEvent).from_select(
    ["id", "user_id", "kind", "at", "ip_address", "user_agent"],
    select(
        bindparam("new_id", type_=Uuid()),
        bindparam("of_user", type_=Uuid()),
        bindparam("of_kind", type_=String),
        bindparam("now", type_=UtcDateTime),
        bindparam("from_address", type_=String),
        bindparam("from_agent", type_=String),
    ).where(select(func.count()).select_from(_of_last_hour).scalar_subquery() < bindparam("most"), ~_since),
)
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


def add_bounded(
    connection: Connection, user_id: UUID, event: StoredEvent, most_per_hour: int, once_since: datetime | None
) -> bool:
    """Remember an event unless the account has so many of its kind in the last hour, or any since that time."""
    values = {
        "new_id": event.id,
        "of_user": user_id,
        "of_kind": event.kind.value,
        "now": event.at,
        "from_address": event.ip_address,
        "from_agent": event.user_agent,
        "hour_ago": first_event_id(event.at - _HOUR),
        "most": most_per_hour,
        "once_since": LAST_ID if once_since is None else first_event_id(once_since),
    }
    return connection.execute(_ADD_BOUNDED, values).rowcount == 1


def newest(connection: Connection, user_id: UUID, rows: int, before: UUID = LAST_ID) -> list[StoredEvent]:
    """The last events of an account, newest first; those before the point in time that an event's id is."""
    found = connection.execute(_NEWEST, {"user": user_id, "before": before, "rows": rows})
    return [StoredEvent(row.id, SecurityEventKind[row.kind], row.at, row.ip_address, row.user_agent) for row in found]


def remove_all(connection: Connection, nobody: UUID) -> None:
    """Remove what this transaction recorded of an account that does not exist."""
    connection.execute(_REMOVE_ALL, {"user": nobody})
