"""The outbox: events to tell others of, written by the transaction that they are about, each claimed by one deliverer.

A message waits for the earlier ones of its account and sink that are open: neither delivered nor given up. Only the
first open message of an account is due, so the search for due messages meets few others. When it is gone the next one
becomes due, behind all that are due already: accounts are served in turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, case, delete, exists, func, insert, select, update
from sqlalchemy.orm import aliased

from graphql_mfa.store.models import OutboxRow, UserRow, UtcDateTime
from graphql_mfa.store.security_events import StoredEvent

WRITTEN = "outbox"
"""The mark of a transaction that wrote to the outbox, for `Database.after_commit`."""

# A message that waits for another is due after this time all the same, should that one be deleted by hand.
_LONGEST_WAIT = timedelta(days=7)

_of_sink = OutboxRow.sink == bindparam("of_sink")
_that_queue = and_(_of_sink, OutboxRow.user_id == bindparam("of_user"), OutboxRow.due_at.is_not(None))
# Locked, so that its deliverer either sees the message that is added behind it, or has deleted it before.
_last_of_queue = (
    select(OutboxRow.number)
    .where(_that_queue)
    .order_by(OutboxRow.number.desc())
    .limit(1)
    .with_for_update()
    .scalar_subquery()
)
_ADD = insert(OutboxRow).values(
    username=select(UserRow.username).where(UserRow.id == bindparam("of_user")).scalar_subquery(),
    attempts=0,
    due_at=case(
        (_last_of_queue.is_(None), bindparam("due_first", type_=UtcDateTime)),
        else_=bindparam("due_behind", type_=UtcDateTime),
    ),
)
_REMOVE_ALL = delete(OutboxRow).where(_that_queue)

_is_due = OutboxRow.due_at <= bindparam("now")
_earlier = aliased(OutboxRow)
_waits = exists().where(
    _earlier.sink == OutboxRow.sink,
    _earlier.user_id == OutboxRow.user_id,
    _earlier.due_at.is_not(None),
    _earlier.number < OutboxRow.number,
)
_DUE = (
    select(OutboxRow.number)
    .where(_of_sink, _is_due, ~_waits)
    .order_by(OutboxRow.due_at, OutboxRow.number)
    .limit(bindparam("rows"))
)
_some_open = select(1).where(_of_sink, OutboxRow.due_at.is_not(None)).limit(bindparam("rows")).subquery()
_COUNT_OPEN = select(func.count()).select_from(_some_open)

_take = (
    update(OutboxRow)
    .values(attempts=OutboxRow.attempts + 1, due_at=bindparam("lease_ends_at"))
    .returning(*OutboxRow.__table__.columns)
)
_CLAIM = _take.where(OutboxRow.number.in_(bindparam("numbers", expanding=True)), _is_due)
_first = select(func.min(OutboxRow.number)).where(_that_queue).scalar_subquery()
# One that was tried before has a lease, or a pause before its next try.
_MAKE_FIRST_DUE = (
    update(OutboxRow).where(OutboxRow.number == _first, OutboxRow.attempts == 0).values(due_at=bindparam("now"))
)
# Whoever claims a message counts up, so that a deliverer whose lease ran out changes nothing any more.
_is_mine = and_(OutboxRow.number == bindparam("mine"), OutboxRow.attempts == bindparam("tries"))
_DELIVERED = delete(OutboxRow).where(_is_mine)
_GIVE_UP = update(OutboxRow).where(_is_mine).values(due_at=None)
_POSTPONE = update(OutboxRow).where(_is_mine).values(due_at=bindparam("next_at"))

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
_REVIVE = (
    update(OutboxRow)
    .where(OutboxRow.number.in_(select(OutboxRow.number).where(_is_dead).limit(bindparam("rows"))), _is_dead)
    .values(since=bindparam("now"), attempts=0, due_at=bindparam("now"))
)


@dataclass(frozen=True)
class Message:
    """A message that this process has claimed: what it tells, and how often that was tried, this time included."""

    number: int
    sink: str
    user_id: UUID
    username: str | None
    event_id: UUID
    kind: str
    at: datetime
    ip_address: str | None
    user_agent: str | None
    since: datetime
    attempts: int
    due_at: datetime


@dataclass(frozen=True)
class SinkState:
    """How many messages wait for delivery, and how many are given up; since when the oldest of both is there."""

    sink: str
    waiting: int
    dead: int
    oldest: datetime


def add(connection: Connection, user_id: UUID, sinks: Sequence[str], events: Sequence[StoredEvent]) -> None:
    """Tell each of the sinks of the events, in this order. The account's name is looked up while it is there."""
    rows = [
        {
            "sink": sink,
            "event_id": event.id,
            "kind": event.kind.value,
            "at": event.at,
            "user_id": user_id,
            "ip_address": event.ip_address,
            "user_agent": event.user_agent,
            "since": event.at,
            "of_sink": sink,
            "of_user": user_id,
            "due_first": event.at,
            "due_behind": event.at + _LONGEST_WAIT,
        }
        for sink in sinks
        for event in events
    ]
    connection.execute(_ADD, rows)
    connection.info[WRITTEN] = True


def remove_all(connection: Connection, user_id: UUID, sinks: Sequence[str]) -> None:
    """Tell nobody of what is still open for an account."""
    connection.execute(_REMOVE_ALL, [{"of_sink": sink, "of_user": user_id} for sink in sinks])


def tell_later(connection: Connection) -> None:
    """Of what this transaction wrote, be told by the next look at the outbox, not at once."""
    connection.info.pop(WRITTEN, None)


def due(connection: Connection, sink: str, now: datetime, rows: int) -> list[int]:
    """The numbers of messages that are due, each the first open one of its account; those that have waited longest."""
    return list(connection.scalars(_DUE, {"of_sink": sink, "now": now, "rows": rows}))


def count_open(connection: Connection, sink: str, most: int) -> int:
    """How many messages are neither delivered nor given up; counted no further than that."""
    return connection.scalar(_COUNT_OPEN, {"of_sink": sink, "rows": most}) or 0


def claim(connection: Connection, numbers: Sequence[int], now: datetime, lease_ends_at: datetime) -> list[Message]:
    """Take those of them that are still due: until the lease ends nobody else does."""
    found = connection.execute(_CLAIM, {"numbers": numbers, "now": now, "lease_ends_at": lease_ends_at})
    return [Message(**row) for row in found.mappings()]


def delivered(connection: Connection, message: Message, now: datetime) -> None:
    """Delete it, and make the next one of its account due. Nothing, if another deliverer has claimed it by now."""
    if connection.execute(_DELIVERED, _mine(message)).rowcount:
        _make_first_due(connection, message, now)


def give_up(connection: Connection, message: Message, now: datetime) -> None:
    """Try it no more, and make the next one of its account due likewise."""
    if connection.execute(_GIVE_UP, _mine(message)).rowcount:
        _make_first_due(connection, message, now)


def postpone(connection: Connection, message: Message, next_at: datetime) -> None:
    """Try it again then, unless somebody else has it by now."""
    connection.execute(_POSTPONE, _mine(message) | {"next_at": next_at})


def counts(connection: Connection) -> list[SinkState]:
    """What there is, by sink."""
    return [SinkState(**row) for row in connection.execute(_COUNTS).mappings()]


def revive(connection: Connection, now: datetime, rows: int) -> int:
    """Try so many of those that were given up again, as if they were new; return how many there were."""
    return connection.execute(_REVIVE, {"now": now, "rows": rows}).rowcount


def _make_first_due(connection: Connection, message: Message, now: datetime) -> None:
    connection.execute(_MAKE_FIRST_DUE, {"of_sink": message.sink, "of_user": message.user_id, "now": now})


def _mine(message: Message) -> dict[str, object]:
    return {"mine": message.number, "tries": message.attempts}
