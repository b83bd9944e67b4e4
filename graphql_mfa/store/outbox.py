"""The outbox: security events to deliver, written by the transaction that they describe.

A message is open until it is delivered or given up. Only the first open message of an account and sink is due, so the
events of an account are delivered in order. When that message is closed, the next one becomes due behind all that are
due by then: accounts take turns.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.orm import aliased

from graphql_mfa.store import columns_of, find_all
from graphql_mfa.store.models import OutboxRow, UserRow, UtcDateTime
from graphql_mfa.store.security_events import StoredEvent

_of_sink = OutboxRow.sink == bindparam("of_sink")
_open_of_user = and_(_of_sink, OutboxRow.user_id == bindparam("of_user"), OutboxRow.due_at.is_not(None))
_ADD = insert(OutboxRow).values(
    username=select(UserRow.username).where(UserRow.id == bindparam("of_user")).scalar_subquery(), attempts=0
)

_is_due = OutboxRow.due_at <= bindparam("now")
_earlier = aliased(OutboxRow)
_is_behind = exists().where(
    _earlier.sink == OutboxRow.sink,
    _earlier.user_id == OutboxRow.user_id,
    _earlier.due_at.is_not(None),
    _earlier.number < OutboxRow.number,
)
_DUE = (
    select(OutboxRow.number)
    .where(_of_sink, _is_due, ~_is_behind)
    .order_by(OutboxRow.due_at, OutboxRow.number)
    .limit(bindparam("rows"))
)
_some_open = select(1).where(_of_sink, OutboxRow.due_at.is_not(None)).limit(bindparam("rows")).subquery()
_COUNT_OPEN = select(func.count()).select_from(_some_open)

# Each claim counts an attempt, so a process whose lease ran out changes nothing any more.
_is_mine = and_(
    OutboxRow.number == bindparam("mine"),
    OutboxRow.event_id == bindparam("event"),
    OutboxRow.attempts == bindparam("tries"),
)
_DELIVERED = delete(OutboxRow).where(_is_mine)
_FAILED = update(OutboxRow).where(_is_mine)
_first = select(func.min(OutboxRow.number)).where(_open_of_user).scalar_subquery()
# A message with attempts has a lease or waits for its next attempt.
_NEXT_TURN = update(OutboxRow).where(OutboxRow.number == _first, OutboxRow.attempts == 0)

_is_dead = OutboxRow.due_at.is_(None)
_COUNTS = (
    select(
        OutboxRow.sink,
        func.count(OutboxRow.due_at).label("waiting"),
        (func.count() - func.count(OutboxRow.due_at)).label("dead"),
        func.min(OutboxRow.at, type_=UtcDateTime()).label("oldest"),
    )
    .group_by(OutboxRow.sink)
    .order_by(OutboxRow.sink)
)
_ERRORS = (
    select(OutboxRow.sink, OutboxRow.last_error, func.count())
    .group_by(OutboxRow.sink, OutboxRow.last_error)
    .order_by(OutboxRow.last_error)
)
_REVIVE = update(OutboxRow).where(
    OutboxRow.number.in_(select(OutboxRow.number).where(_is_dead).limit(bindparam("rows"))), _is_dead
)


@dataclass(frozen=True)
class Message:
    """A message that this process has claimed. attempts: with this one."""

    number: int
    sink: str
    user_id: UUID
    username: str | None
    event_id: UUID
    kind: str
    at: datetime
    ip_address: str | None
    user_agent: str | None
    count: int | None
    factor: str | None
    since: datetime
    attempts: int


@dataclass(frozen=True)
class SinkState:
    """The undelivered messages of a sink: open, given up, the oldest event's time, how many failed with each error."""

    sink: str
    waiting: int
    dead: int
    oldest: datetime
    errors: dict[str, int]


def add(connection: Connection, user_id: UUID, sinks: Sequence[str], events: Sequence[StoredEvent]) -> None:
    """Queue the events for each sink, in this order. Call it before the account is deleted, since it reads the name."""
    rows = [
        {
            "sink": sink,
            "event_id": event.id,
            "kind": event.kind.value,
            "at": event.at,
            "user_id": user_id,
            "of_user": user_id,
            "ip_address": event.ip_address,
            "user_agent": event.user_agent,
            "count": event.count,
            "factor": event.factor and event.factor.value,
            "since": event.at,
            "due_at": event.at,
        }
        for sink in sinks
        for event in events
    ]
    connection.execute(_ADD, rows)


def due(connection: Connection, sink: str, now: datetime, rows: int) -> list[int]:
    """The numbers of messages that are due, longest due first; at most one of each account."""
    return list(connection.scalars(_DUE, {"of_sink": sink, "now": now, "rows": rows}))


def count_open(connection: Connection, sink: str, most: int) -> int:
    """The number of messages neither delivered nor given up, counted up to a bound."""
    return connection.scalar(_COUNT_OPEN, {"of_sink": sink, "rows": most}) or 0


# Everything that `_DUE` checked, since SQLite gives the number of a deleted row to a later one.
_CLAIM = (
    update(OutboxRow)
    .where(OutboxRow.number.in_(bindparam("numbers", expanding=True)), _of_sink, _is_due, ~_is_behind)
    .values(attempts=OutboxRow.attempts + 1)
    .returning(*columns_of(OutboxRow, Message))
)


def claim(
    connection: Connection, sink: str, numbers: Sequence[int], now: datetime, lease_ends_at: datetime
) -> list[Message]:
    """Claim those of the messages that are still due. No other process claims them before the lease ends."""
    given = {"of_sink": sink, "numbers": numbers, "now": now, "due_at": lease_ends_at}
    return find_all(connection, _CLAIM, given, Message)


def delivered(connection: Connection, message: Message, now: datetime) -> None:
    """Delete the message, and make the account's next one due. Does nothing if another process claimed it since."""
    if connection.execute(_DELIVERED, _mine(message)).rowcount:
        _start_next(connection, message, now)


def failed(connection: Connection, message: Message, error: str, now: datetime, next_at: datetime | None) -> None:
    """Store the error and the time of the next attempt. Does nothing if another process claimed the message since.

    next_at: None gives the message up, and makes the account's next one due.
    """
    found = connection.execute(_FAILED, _mine(message) | {"last_error": error, "due_at": next_at})
    if found.rowcount and next_at is None:
        _start_next(connection, message, now)


def counts(connection: Connection) -> list[SinkState]:
    """The state of each sink that has undelivered messages."""
    errors: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for sink, error, count in connection.execute(_ERRORS):
        if error is not None:
            errors[sink][error] = count
    return [SinkState(**row, errors=errors[row["sink"]]) for row in connection.execute(_COUNTS).mappings()]


def revive(connection: Connection, now: datetime, rows: int) -> int:
    """Make up to that many messages that were given up due again, as if they were new; return the number."""
    return connection.execute(_REVIVE, {"rows": rows, "since": now, "attempts": 0, "due_at": now}).rowcount


def _start_next(connection: Connection, message: Message, now: datetime) -> None:
    connection.execute(_NEXT_TURN, {"of_sink": message.sink, "of_user": message.user_id, "due_at": now})


def _mine(message: Message) -> dict[str, object]:
    return {"mine": message.number, "event": message.event_id, "tries": message.attempts}
