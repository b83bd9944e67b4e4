"""The outbox: events to tell others of, written by the transaction that they are about, each claimed by one deliverer.

A message waits for the earlier ones of its account and sink that are open: neither delivered nor given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from graphql_mfa.store.models import OutboxMessage, User, UtcDateTime
from graphql_mfa.store.security_events import StoredEvent

WRITTEN = "outbox"
"""The mark of a transaction that wrote to the outbox, for `Database.after_commit`."""

_that_line = and_(
    OutboxMessage.sink == bindparam("of_sink"),
    OutboxMessage.user_id == bindparam("of_user"),
    OutboxMessage.due_at.is_not(None),
)
_ADD = insert(OutboxMessage).values(
    username=select(User.username).where(User.id == bindparam("of_user")).scalar_subquery(), attempts=0
)
_REMOVE_ALL = delete(OutboxMessage).where(OutboxMessage.user_id == bindparam("of_user"), _that_line)

_of_sink = OutboxMessage.sink == bindparam("of_sink")
_is_due = OutboxMessage.due_at <= bindparam("now")
_earlier = aliased(OutboxMessage)
_before = (
    _earlier.sink == OutboxMessage.sink,
    _earlier.user_id == OutboxMessage.user_id,
    _earlier.due_at.is_not(None),
    _earlier.number < OutboxMessage.number,
)
_waits = exists().where(*_before)
_DUE = (
    select(OutboxMessage.number, _waits.label("waits"))
    .where(_of_sink, _is_due)
    .order_by(OutboxMessage.due_at, OutboxMessage.number)
    .limit(bindparam("rows"))
)
_HOLD_BACK = (
    update(OutboxMessage)
    .where(OutboxMessage.number.in_(bindparam("numbers", expanding=True)), OutboxMessage.attempts == 0, _waits)
    .values(
        due_at=select(_earlier.due_at).where(*_before).order_by(_earlier.number).limit(1).scalar_subquery(),
    )
)
_some_open = select(1).where(_of_sink, OutboxMessage.due_at.is_not(None)).limit(bindparam("rows")).subquery()
_COUNT_OPEN = select(func.count()).select_from(_some_open)

_take = (
    update(OutboxMessage)
    .values(attempts=OutboxMessage.attempts + 1, due_at=bindparam("lease_ends_at"))
    .returning(*OutboxMessage.__table__.columns)
)
_CLAIM = _take.where(OutboxMessage.number.in_(bindparam("numbers", expanding=True)), _is_due)
_first = select(func.min(OutboxMessage.number)).where(_that_line).scalar_subquery()
_CLAIM_NEXT = _take.where(
    OutboxMessage.number == _first,
    # It waited for nothing but the one before it, unless it had its turn before that one was taken up again.
    or_(OutboxMessage.attempts == 0, _is_due),
)
# Whoever claims a message counts up, so that a deliverer whose lease ran out changes nothing any more.
_is_mine = and_(OutboxMessage.number == bindparam("mine"), OutboxMessage.attempts == bindparam("tries"))
_DELIVERED = delete(OutboxMessage).where(_is_mine)
_GIVE_UP = update(OutboxMessage).where(_is_mine).values(due_at=None)
_POSTPONE = update(OutboxMessage).where(_is_mine).values(due_at=bindparam("next_at"))

_is_dead = OutboxMessage.due_at.is_(None)
_COUNTS = (
    select(
        OutboxMessage.sink,
        func.count(OutboxMessage.due_at).label("waiting"),
        (func.count() - func.count(OutboxMessage.due_at)).label("dead"),
        func.min(OutboxMessage.at, type_=UtcDateTime()).label("oldest"),
    )
    .group_by(OutboxMessage.sink)
    .order_by(OutboxMessage.sink)
)
_REVIVE = (
    update(OutboxMessage)
    .where(OutboxMessage.number.in_(select(OutboxMessage.number).where(_is_dead).limit(bindparam("rows"))), _is_dead)
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
            "due_at": event.at,
            "of_user": user_id,
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


@dataclass(frozen=True)
class Due:
    """The numbers of messages that are due: each the first of its account, or behind another one."""

    first: list[int]
    behind: list[int]


def due(connection: Connection, sink: str, now: datetime, rows: int) -> Due:
    """Messages that are due, those that waited longest; of both sorts together no more than that."""
    found = connection.execute(_DUE, {"of_sink": sink, "now": now, "rows": rows}).all()
    return Due([row.number for row in found if not row.waits], [row.number for row in found if row.waits])


def hold_back(connection: Connection, numbers: Sequence[int]) -> None:
    """Don't look at those again before the first of their account is due, so that others are seen behind them."""
    connection.execute(_HOLD_BACK, {"numbers": numbers})


def count_open(connection: Connection, sink: str, most: int) -> int:
    """How many messages are neither delivered nor given up; counted no further than that."""
    return connection.scalar(_COUNT_OPEN, {"of_sink": sink, "rows": most}) or 0


def claim(connection: Connection, numbers: Sequence[int], now: datetime, lease_ends_at: datetime) -> list[Message]:
    """Take those of them that are still due: until the lease ends nobody else does."""
    found = connection.execute(_CLAIM, {"numbers": numbers, "now": now, "lease_ends_at": lease_ends_at})
    return [Message(**row) for row in found.mappings()]


def delivered(connection: Connection, message: Message, now: datetime, lease_ends_at: datetime) -> Message | None:
    """Delete it, and take the next one of its account, if there is one. Nothing, if somebody else has it by now."""
    gone = connection.execute(_DELIVERED, _mine(message)).rowcount
    return _claim_next(connection, message, now, lease_ends_at) if gone else None


def give_up(connection: Connection, message: Message, now: datetime, lease_ends_at: datetime) -> Message | None:
    """Try it no more, and take the next one of its account likewise."""
    dead = connection.execute(_GIVE_UP, _mine(message)).rowcount
    return _claim_next(connection, message, now, lease_ends_at) if dead else None


def postpone(connection: Connection, message: Message, next_at: datetime) -> None:
    """Try it again then, unless somebody else has it by now."""
    connection.execute(_POSTPONE, _mine(message) | {"next_at": next_at})


def counts(connection: Connection) -> list[SinkState]:
    """What there is, by sink."""
    return [SinkState(**row) for row in connection.execute(_COUNTS).mappings()]


def revive(connection: Connection, now: datetime, rows: int) -> int:
    """Try so many of those that were given up again, as if they were new; return how many there were."""
    return connection.execute(_REVIVE, {"now": now, "rows": rows}).rowcount


def _claim_next(connection: Connection, message: Message, now: datetime, lease_ends_at: datetime) -> Message | None:
    given = _line(message) | {"now": now, "lease_ends_at": lease_ends_at}
    row = connection.execute(_CLAIM_NEXT, given).mappings().one_or_none()
    return Message(**row) if row else None


def _mine(message: Message) -> dict[str, object]:
    return {"mine": message.number, "tries": message.attempts}


def _line(message: Message) -> dict[str, object]:
    return {"of_sink": message.sink, "of_user": message.user_id}
