"""Security events: add, read, and erase those of accounts that are gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, select, update

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.security_events import SecurityEventKind, first_event_id
from graphql_mfa.store import columns_of, find_all, insert_if, new_row
from graphql_mfa.store.models import DeletionRow, SecurityEventRow

LAST_ID = UUID(int=2**128 - 1)
_of_user = SecurityEventRow.user_id == bindparam("user")
# Accounts have fewer events, unless an attacker caused them; then the purge erases the rest.
_AT_ONCE = 500
_ADD_DELETION = insert(DeletionRow)


@dataclass(frozen=True)
class StoredEvent:
    """A security event: its kind, its time, and the client that caused it. count: how many attempts it sums up.

    factor: the kind of second factor that it is about.
    """

    id: UUID
    kind: SecurityEventKind
    at: datetime
    ip_address: str | None
    user_agent: str | None
    count: int | None = None
    factor: FactorKind | None = None


_ADD = insert(SecurityEventRow)


def add(connection: Connection, user_id: UUID, events: list[StoredEvent]) -> None:
    """Insert events."""
    connection.execute(_ADD, [vars(event) | {"user_id": user_id} for event in events])


# PostgreSQL would find two types for `new_kind`, in the new row and here.
_of_kind = and_(SecurityEventRow.user_id == bindparam("new_user_id"), SecurityEventRow.kind == bindparam("of_kind"))
_of_last_hour = (
    select(SecurityEventRow.id)
    .where(_of_kind, SecurityEventRow.id >= bindparam("hour_ago"))
    .limit(bindparam("most"))
    .subquery()
)
_since = exists().where(_of_kind, SecurityEventRow.id >= bindparam("once_since"))
_ADD_BOUNDED = insert_if(
    SecurityEventRow, select(func.count()).select_from(_of_last_hour).scalar_subquery() < bindparam("most"), ~_since
)


def add_bounded(
    connection: Connection, user_id: UUID, event: StoredEvent, most_per_hour: int, once_since: datetime | None
) -> bool:
    """Insert an event unless the account has `most_per_hour` of its kind in an hour, or any since `once_since`."""
    bounds = {
        "of_kind": event.kind,
        "hour_ago": first_event_id(event.at - timedelta(hours=1)),
        "most": most_per_hour,
        "once_since": LAST_ID if once_since is None else first_event_id(once_since),
    }
    return connection.execute(_ADD_BOUNDED, new_row(**vars(event), user_id=user_id) | bounds).rowcount == 1


_NEWEST = (
    select(*columns_of(SecurityEventRow, StoredEvent))
    .where(_of_user, SecurityEventRow.id < bindparam("before"))
    .order_by(SecurityEventRow.id.desc())
    .limit(bindparam("rows"))
)


def newest(connection: Connection, user_id: UUID, rows: int, before: UUID = LAST_ID) -> list[StoredEvent]:
    """The latest events of an account, newest first: those before the event with that id."""
    return find_all(connection, _NEWEST, {"user": user_id, "before": before, "rows": rows}, StoredEvent)


def erase_events(connection: Connection, user_ids: Sequence[UUID], replacement_id: UUID | None, now: datetime) -> None:
    """Remove the events of accounts that were deleted in this transaction, or make them anonymous.

    Those that one statement leaves are erased by the purge. replacement_id: what an anonymous event has in place of
    the account's id; without one, events are removed.
    """
    if _erase(connection, user_ids, replacement_id, _AT_ONCE) == _AT_ONCE:
        rows = [{"user_id": user_id, "replacement_id": replacement_id, "since": now} for user_id in user_ids]
        connection.execute(_ADD_DELETION, rows)


# The deletion's row is locked, so that two concurrent purges don't mistake each other's batch for the last one.
_FIRST_DELETION = (
    select(DeletionRow.user_id, DeletionRow.replacement_id)
    .where(DeletionRow.since <= bindparam("now"))
    .order_by(DeletionRow.since, DeletionRow.user_id)
    .limit(1)
    .with_for_update()
)
_FINISH_DELETION = delete(DeletionRow).where(DeletionRow.user_id == bindparam("user"))


def erase_batch(connection: Connection, now: datetime, rows: int) -> int:
    """Erase up to `rows` events of the accounts that have waited longest; return how many rows changed."""
    changed = 0
    while changed < rows and (deletion := connection.execute(_FIRST_DELETION, {"now": now}).one_or_none()):
        left = rows - changed
        erased = _erase(connection, [deletion.user_id], deletion.replacement_id, left)
        changed += erased
        if erased < left:
            changed += connection.execute(_FINISH_DELETION, {"user": deletion.user_id}).rowcount
    return changed


_of_users = SecurityEventRow.user_id.in_(bindparam("users", expanding=True))
_some = SecurityEventRow.id.in_(select(SecurityEventRow.id).where(_of_users).limit(bindparam("rows")))
_REMOVE_SOME = delete(SecurityEventRow).where(_some, _of_users)
_MAKE_ANONYMOUS = update(SecurityEventRow).where(_some, _of_users).values(ip_address=None, user_agent=None)


def _erase(connection: Connection, user_ids: Sequence[UUID], replacement_id: UUID | None, rows: int) -> int:
    given = {"users": user_ids, "rows": rows}
    if replacement_id is None:
        return connection.execute(_REMOVE_SOME, given).rowcount
    return connection.execute(_MAKE_ANONYMOUS, given | {"user_id": replacement_id}).rowcount
