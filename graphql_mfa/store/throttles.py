"""Attempts counted in the store, so that limits hold across workers, restarts and replicas."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import Connection, Executable, and_, bindparam, delete, or_, select, union_all, update

from graphql_mfa.core.throttling import Limit, Refusal, Usage, reserve
from graphql_mfa.store import insert_by_engine
from graphql_mfa.store.models import ThrottleRow

_columns = ThrottleRow.__table__.columns
_that_key = ThrottleRow.key == bindparam("of")
_SET = update(ThrottleRow).where(_that_key)
_FORGET = delete(ThrottleRow).where(_that_key)
_RELEASE = _SET.where(ThrottleRow.attempts > 0).values(attempts=ThrottleRow.attempts - 1, blocked_until=None)


@dataclass(frozen=True)
class Reserved:
    """The limits under which an attempt was counted, and their usage with it."""

    limits: Mapping[bytes, Limit]
    usages: dict[bytes, Usage]


def reserve_all(connection: Connection, limits: Mapping[bytes, Limit], now: datetime) -> timedelta | None:
    """Count one attempt under every key, or, if one of them refuses it, under none, and return the wait."""
    reserved = reserve_first(connection, [limits], now)
    return reserved.wait if isinstance(reserved, Refusal) else None


def reserve_first(
    connection: Connection, choices: Sequence[Mapping[bytes, Limit]], now: datetime
) -> Reserved | Refusal:
    """Count one attempt under every key of the first choice that allows it.

    If none does, count nothing and return the refusal of the last choice. choices: not empty.
    """
    # Every transaction locks in the order of the keys, which prevents deadlocks.
    keys = sorted({key for limits in choices for key in limits})
    used = _used(connection, keys, now)
    # Before anything is written, so that a flood of refused attempts writes nothing.
    decision = _decide(used, choices, now)
    if isinstance(decision, Refusal):
        return decision
    if changed := used.keys() - _write(connection, used, used | decision.usages):
        # Other transactions counted in between. The rows are locked now.
        used |= _used(connection, changed, now)
        decision = _decide(used, choices, now)
        usages = used if isinstance(decision, Refusal) else used | decision.usages
        connection.execute(_SET, [{"of": key, **vars(usage)} for key, usage in usages.items()])
    return decision


def find_wait(connection: Connection, limits: Mapping[bytes, Limit], now: datetime) -> timedelta | None:
    """The wait that these limits impose now; None if they allow an attempt. Counts nothing."""
    decision = _decide(_used(connection, sorted(limits), now), [limits], now)
    return decision.wait if isinstance(decision, Refusal) else None


def attempts(connection: Connection, key: bytes) -> int:
    """How many attempts are counted under a key."""
    return sum(row.attempts for row in connection.execute(_usages(1), _named([key])))


def attempts_left(connection: Connection, limits: Mapping[bytes, Limit]) -> int:
    """Attempts that the tightest of these limits still allows. They have no back-off, and one attempt was reserved."""
    used = connection.execute(_usages(len(limits)), _named(limits))
    return max(0, min(int(limits[row.key].attempts - row.attempts) for row in used))


def forget(connection: Connection, keys: Collection[bytes]) -> None:
    """Reset the count under these keys."""
    connection.execute(_FORGET, [{"of": key} for key in sorted(keys)])


_SUBTRACT = _SET.where(ThrottleRow.attempts >= bindparam("number")).values(
    attempts=ThrottleRow.attempts - bindparam("number")
)


def subtract(connection: Connection, key: bytes, number: int) -> bool:
    """Subtract attempts from the count under a key. Returns False if there are fewer by now."""
    return connection.execute(_SUBTRACT, {"of": key, "number": number}).rowcount == 1


@cache
def _usages(count: int) -> Executable:
    """The usage under this number of keys."""
    return select(*_columns).where(ThrottleRow.key.in_([bindparam(f"key_{number}") for number in range(count)]))


@cache
def _upsert(dialect: str, count: int) -> Executable:
    """Lock this number of rows in key order, write those that didn't change since they were read, return their keys."""
    # SQLAlchemy doesn't cache the compiled form of `values` with several rows.
    rows = union_all(
        *(
            select(*(bindparam(f"{column.key}_{number}", type_=column.type).label(column.key) for column in _columns))
            for number in range(count)
        )
    )
    insertion = insert_by_engine(dialect, ThrottleRow).from_select(_columns.keys(), rows.order_by("key"))
    # A change of the wait always changes one of these two.
    unchanged = (
        and_(
            ThrottleRow.key == bindparam(f"key_{number}"),
            ThrottleRow.attempts == bindparam(f"read_attempts_{number}"),
            ThrottleRow.window_ends_at == bindparam(f"read_window_ends_at_{number}"),
        )
        for number in range(count)
    )
    upsert: Executable = insertion.on_conflict_do_update(
        index_elements=[ThrottleRow.key],
        set_={name: insertion.excluded[name] for name in ("attempts", "window_ends_at", "blocked_until")},
        where=or_(*unchanged),
    ).returning(ThrottleRow.key)
    return upsert


def _write(connection: Connection, read: Mapping[bytes, Usage], usages: Mapping[bytes, Usage]) -> set[bytes]:
    """Lock the rows in key order, write those that didn't change since they were read, and return their keys."""
    given = _named(read)
    for number, key in enumerate(read):
        given |= {f"{name}_{number}": value for name, value in vars(usages[key]).items()}
        given |= {
            f"read_attempts_{number}": read[key].attempts,
            f"read_window_ends_at_{number}": read[key].window_ends_at,
        }
    return set(connection.scalars(_upsert(connection.dialect.name, len(read)), given))


def _used(connection: Connection, keys: Collection[bytes], now: datetime) -> dict[bytes, Usage]:
    """The usage under each key, in the order given. A key without a row has a window that ends now."""
    rows = connection.execute(_usages(len(keys)), _named(keys))
    used = {row.key: Usage(row.attempts, row.window_ends_at, row.blocked_until) for row in rows}
    return dict.fromkeys(keys, Usage(0, now)) | used


def _named(keys: Iterable[bytes]) -> dict[str, object]:
    return {f"key_{number}": key for number, key in enumerate(keys)}


def _decide(used: Mapping[bytes, Usage], choices: Sequence[Mapping[bytes, Limit]], now: datetime) -> Reserved | Refusal:
    """The first choice that allows an attempt, with the usage after it; or the longest refusal of the last choice."""
    for limits in choices:
        decisions = {key: reserve(limit, used[key], now) for key, limit in limits.items()}
        usages = {key: decision for key, decision in decisions.items() if isinstance(decision, Usage)}
        if len(usages) == len(limits):
            return Reserved(limits, usages)
    refusals = [Refusal(wait, limits[key]) for key, wait in decisions.items() if isinstance(wait, timedelta)]
    return max(refusals, key=lambda refusal: refusal.wait)


def release(connection: Connection, limits: Mapping[bytes, Limit]) -> None:
    """Uncount an attempt that succeeded, and clear the wait that it caused."""
    # One statement per key, since a statement over several locks them in an undefined order.
    keys = sorted(key for key, limit in limits.items() if not limit.counts_successes)
    connection.execute(_RELEASE, [{"of": key} for key in keys])
