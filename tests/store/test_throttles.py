"""Limits in the store."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Connection, Engine, event, select

from graphql_mfa.core.throttling import Backoff, Limit
from graphql_mfa.store import throttles
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import ThrottleRow
from tests.conftest import on_each_engine, postgresql_only
from tests.store.rows import NOW

pytestmark = on_each_engine

ADDRESS, ACCOUNT = b"address".ljust(32), b"account".ljust(32)
MINUTE = timedelta(minutes=1)
LIMITS = {ADDRESS: Limit(3, MINUTE), ACCOUNT: Limit(2, MINUTE, Backoff(timedelta(seconds=5), MINUTE))}


def counts(connection: Connection) -> dict[bytes, int]:
    return {row.key: row.attempts for row in connection.execute(select(ThrottleRow.key, ThrottleRow.attempts))}


async def reserve(database: Database, *keys: bytes, seconds: int = 0) -> timedelta | None:
    limits = {key: LIMITS[key] for key in keys}
    now = NOW + timedelta(seconds=seconds)
    return await database.write(lambda connection: throttles.reserve_all(connection, limits, now))


async def test_an_attempt_is_counted_under_every_key(database: Database) -> None:
    assert await reserve(database, ADDRESS, ACCOUNT) is None
    assert await reserve(database, ADDRESS) is None
    assert await database.read(counts) == {ADDRESS: 2, ACCOUNT: 1}


async def test_an_attempt_that_one_limit_refuses_is_counted_under_no_key(database: Database) -> None:
    for _ in range(3):
        assert await reserve(database, ADDRESS) is None
    assert await reserve(database, ADDRESS, ACCOUNT, seconds=20) == timedelta(seconds=40)
    assert await database.read(counts) == {ADDRESS: 3}


async def test_the_longest_of_several_waits_is_reported(database: Database) -> None:
    for _ in range(2):
        await reserve(database, ADDRESS, ACCOUNT)
    await reserve(database, ADDRESS)
    assert await reserve(database, ACCOUNT) == timedelta(seconds=5)
    assert await reserve(database, ADDRESS, ACCOUNT) == MINUTE


async def test_counting_restarts_after_the_window(database: Database) -> None:
    for _ in range(3):
        await reserve(database, ADDRESS)
    assert await reserve(database, ADDRESS, seconds=59) == timedelta(seconds=1)
    assert await reserve(database, ADDRESS, seconds=60) is None
    assert await database.read(counts) == {ADDRESS: 1}


async def test_parallel_attempts_do_not_exceed_the_limit(database: Database, other_process: Database) -> None:
    waits = await asyncio.gather(*(reserve((database, other_process)[number % 2], ADDRESS) for number in range(20)))
    assert waits.count(None) == 3


async def test_only_passing_parallel_attempts_are_counted_under_several_keys(
    database: Database, other_process: Database
) -> None:
    asked = [(ADDRESS, ACCOUNT), (ADDRESS,), (ACCOUNT,)] * 8
    waits = await asyncio.gather(
        *(reserve((database, other_process)[number % 2], *keys) for number, keys in enumerate(asked))
    )
    passed = [keys for keys, wait in zip(asked, waits, strict=True) if wait is None]
    assert await database.read(counts) == {ADDRESS: 3, ACCOUNT: 2}
    assert {key: sum(key in keys for keys in passed) for key in LIMITS} == {ADDRESS: 3, ACCOUNT: 2}


@contextmanager
def counted_in_between(url: str, *keys: bytes, seconds: int = 0) -> Iterator[None]:
    """Another process counts attempts, one by one, after the first transaction inside read and before it writes."""
    todo = list(keys)

    async def count() -> None:
        other = Database(url)
        while todo:
            assert await reserve(other, todo.pop(0), seconds=seconds) is None
        await other.close()

    def see(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        if threading.current_thread() is threading.main_thread() and todo and statement.startswith("INSERT"):
            thread = threading.Thread(target=asyncio.run, args=(count(),))
            thread.start()
            thread.join()

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", see)
    assert not todo


@postgresql_only
async def test_an_attempt_refused_because_of_a_concurrent_one_is_counted_under_no_key(
    database: Database, database_url: str
) -> None:
    with counted_in_between(database_url, ACCOUNT, ACCOUNT):
        assert await reserve(database, ADDRESS, ACCOUNT) == timedelta(seconds=5)
    assert await database.read(counts) == {ADDRESS: 0, ACCOUNT: 2}


@postgresql_only
async def test_concurrent_attempts_in_a_new_window_add_up(database: Database, database_url: str) -> None:
    await reserve(database, ADDRESS)
    with counted_in_between(database_url, ADDRESS, seconds=60):
        assert await reserve(database, ADDRESS, seconds=60) is None
    assert await database.read(counts) == {ADDRESS: 2}


async def test_an_attempt_can_be_released_with_the_wait_that_it_caused(database: Database) -> None:
    for _ in range(2):
        await reserve(database, ADDRESS, ACCOUNT)
    assert await reserve(database, ACCOUNT) == timedelta(seconds=5)
    await database.write(lambda connection: throttles.release(connection, LIMITS))
    assert await database.read(counts) == {ADDRESS: 1, ACCOUNT: 1}
    assert await reserve(database, ACCOUNT) is None


async def test_no_more_is_released_than_was_counted(database: Database) -> None:
    await reserve(database, ADDRESS)
    for _ in range(3):
        await database.write(lambda connection: throttles.release(connection, LIMITS))
    assert await database.read(counts) == {ADDRESS: 0}
