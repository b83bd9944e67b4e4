"""Limits in the store."""

import asyncio
from datetime import timedelta

from sqlalchemy import Connection, select

from graphql_mfa.core.throttling import Backoff, Limit
from graphql_mfa.store import throttles
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import Throttle
from tests.conftest import on_each_engine
from tests.store.rows import NOW

pytestmark = on_each_engine

ADDRESS, ACCOUNT = b"address".ljust(32), b"account".ljust(32)
MINUTE = timedelta(minutes=1)
LIMITS = {ADDRESS: Limit(3, MINUTE), ACCOUNT: Limit(2, MINUTE, Backoff(timedelta(seconds=5), MINUTE))}


def counts(connection: Connection) -> dict[bytes, int]:
    return {row.key: row.attempts for row in connection.execute(select(Throttle.key, Throttle.attempts))}


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


async def test_of_several_waits_the_longest_is_told(database: Database) -> None:
    for _ in range(2):
        await reserve(database, ADDRESS, ACCOUNT)
    await reserve(database, ADDRESS)
    assert await reserve(database, ACCOUNT) == timedelta(seconds=5)
    assert await reserve(database, ADDRESS, ACCOUNT) == MINUTE


async def test_after_the_window_counting_starts_afresh(database: Database) -> None:
    for _ in range(3):
        await reserve(database, ADDRESS)
    assert await reserve(database, ADDRESS, seconds=59) == timedelta(seconds=1)
    assert await reserve(database, ADDRESS, seconds=60) is None
    assert await database.read(counts) == {ADDRESS: 1}


async def test_of_many_attempts_at_once_as_many_pass_as_the_limit_allows(
    database: Database, other_process: Database
) -> None:
    waits = await asyncio.gather(*(reserve((database, other_process)[number % 2], ADDRESS) for number in range(20)))
    assert waits.count(None) == 3


async def test_an_attempt_can_be_given_back_with_the_wait_that_it_made(database: Database) -> None:
    for _ in range(2):
        await reserve(database, ADDRESS, ACCOUNT)
    assert await reserve(database, ACCOUNT) == timedelta(seconds=5)
    await database.write(lambda connection: throttles.give_back(connection, LIMITS))
    assert await database.read(counts) == {ADDRESS: 1, ACCOUNT: 1}
    assert await reserve(database, ACCOUNT) is None


async def test_no_more_is_given_back_than_was_counted(database: Database) -> None:
    await reserve(database, ADDRESS)
    for _ in range(3):
        await database.write(lambda connection: throttles.give_back(connection, LIMITS))
    assert await database.read(counts) == {ADDRESS: 0}
