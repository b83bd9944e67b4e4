"""Limits, counted in the store, so that they hold across workers, restarts and replicas."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Executable, LargeBinary, Row, bindparam, delete, select, update

from graphql_mfa.core.throttling import Limit, Refusal, Usage, reserve
from graphql_mfa.store.inserts import insert_by_engine
from graphql_mfa.store.models import Throttle, UtcDateTime

_usage = (Throttle.key, Throttle.attempts, Throttle.window_ends_at, Throttle.blocked_until)
_SET = (
    update(Throttle)
    .where(Throttle.key == bindparam("of"))
    .values(
        attempts=bindparam("attempts"),
        window_ends_at=bindparam("window_ends_at"),
        blocked_until=bindparam("blocked_until"),
    )
)
_FORGET = delete(Throttle).where(Throttle.key == bindparam("of"))
_GIVE_BACK = (
    update(Throttle)
    .where(Throttle.key == bindparam("of"), Throttle.attempts > 0)
    .values(attempts=Throttle.attempts - 1, blocked_until=None)
)


def reserve_all(connection: Connection, limits: Mapping[bytes, Limit], now: datetime) -> timedelta | None:
    """Count one attempt under every key; or, when one of them does not allow it, count none and return the wait."""
    reserved = reserve_first(connection, [limits], now)
    return reserved.wait if isinstance(reserved, Refusal) else None


def reserve_first(
    connection: Connection, choices: Sequence[Mapping[bytes, Limit]], now: datetime
) -> Mapping[bytes, Limit] | Refusal:
    """Count one attempt under every key of the first choice that allows it, and return that choice.

    When none does, count nothing and return why the last choice refused it. choices: not empty.
    """
    # One order of locks for every transaction, so that no two wait for each other.
    keys = sorted({key for limits in choices for key in limits})
    given = _named(keys)
    # Read before anything is written, so that a flood of refused attempts writes nothing.
    decision = _decide(connection.execute(_usages(len(keys)), given), choices, now)
    if isinstance(decision, Refusal):
        return decision
    held = _hold(connection.dialect.name, len(keys))
    decision = _decide(connection.execute(held, given | {"now": now}), choices, now)
    if isinstance(decision, Refusal):
        return decision
    chosen, usages = decision
    connection.execute(_SET, [{"of": key, **vars(usage)} for key, usage in usages.items()])
    return chosen


def attempts_left(connection: Connection, limits: Mapping[bytes, Limit]) -> int:
    """How many attempts the tightest of limits without a back-off still allows, after one was reserved."""
    used = connection.execute(_usages(len(limits)), _named(limits))
    return max(0, min(int(limits[row.key].attempts - row.attempts) for row in used))


def forget(connection: Connection, keys: Collection[bytes]) -> None:
    """Count nothing under those keys any more."""
    connection.execute(_FORGET, [{"of": key} for key in sorted(keys)])


@cache
def _usages(count: int) -> Executable:
    """What was used under so many keys."""
    return select(*_usage).where(Throttle.key.in_([_key(number) for number in range(count)]))


@cache
def _hold(dialect: str, count: int) -> Executable:
    """The same, with the rows made where there are none, and held, in their order."""
    rows = [
        {"key": _key(number), "attempts": 0, "window_ends_at": bindparam("now", type_=UtcDateTime)}
        for number in range(count)
    ]
    made = insert_by_engine(dialect, Throttle).values(rows)
    held: Executable = made.on_conflict_do_update(
        index_elements=[Throttle.key], set_={"attempts": Throttle.attempts}
    ).returning(*_usage)
    return held


def _named(keys: Iterable[bytes]) -> dict[str, object]:
    return {f"key_{number}": key for number, key in enumerate(keys)}


def _key(number: int) -> "BindParameter[bytes]":
    return bindparam(f"key_{number}", type_=LargeBinary)


def _decide(
    rows: "Iterable[Row[*tuple[Any, ...]]]", choices: Sequence[Mapping[bytes, Limit]], now: datetime
) -> tuple[Mapping[bytes, Limit], dict[bytes, Usage]] | Refusal:
    """The first choice that allows an attempt, with what is then used of it; or why the last one refuses it."""
    used = {row.key: Usage(row.attempts, row.window_ends_at, row.blocked_until) for row in rows}
    for limits in choices:
        decisions = {key: reserve(limit, used.get(key, Usage()), now) for key, limit in limits.items()}
        usages = {key: decision for key, decision in decisions.items() if isinstance(decision, Usage)}
        if len(usages) == len(limits):
            return limits, usages
    refusals = [Refusal(wait, limits[key]) for key, wait in decisions.items() if isinstance(wait, timedelta)]
    return max(refusals, key=lambda refusal: refusal.wait)


def give_back(connection: Connection, limits: Mapping[bytes, Limit]) -> None:
    """Take back an attempt that succeeded, with the wait that it made."""
    # One by one: a single statement over all of them would lock them in an order of its own.
    keys = sorted(key for key, limit in limits.items() if not limit.counts_successes)
    connection.execute(_GIVE_BACK, [{"of": key} for key in keys])
