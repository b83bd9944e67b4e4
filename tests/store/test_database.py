"""Connections and transactions."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import Connection, select, text, update
from sqlalchemy.exc import IntegrityError

from graphql_mfa.store.database import Database
from graphql_mfa.store.models import UserRow
from graphql_mfa.store.outages import UnavailableError, UnsupportedDatabaseError
from graphql_mfa.store.postgresql import Postgresql
from tests.conftest import connections_in_use, on_each_engine, postgresql_only, sqlite_only
from tests.store import rows

pytestmark = on_each_engine

PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


def pragmas(connection: Connection) -> dict[str, object]:
    return {name: connection.scalar(text(f"PRAGMA {name}")) for name in PRAGMAS}


def usernames(connection: Connection) -> list[str]:
    return list(connection.scalars(select(UserRow.username)))


@sqlite_only
async def test_every_connection_is_durable_and_waits_for_the_lock(database: Database) -> None:
    found = await asyncio.gather(database.write(pragmas), *(database.read(pragmas) for _ in range(10)))
    assert found == [PRAGMAS] * 11


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true",
        "sqlite+aiosqlite:///file:test?mode=memory&cache=shared&uri=true",
    ],
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(UnsupportedDatabaseError, match="in memory"):
        Database(url)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite:///test.db",
        "mysql://root:hunter2@db/test",
        "postgresql+asyncpg://root:hunter2@db/test?sslmode=require",
    ],
)
def test_an_unknown_database_is_refused_without_repeating_the_url(url: str) -> None:
    with pytest.raises(UnsupportedDatabaseError) as refusal:
        Database(url)
    assert url not in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


async def test_a_transaction_that_raises_is_rolled_back(any_database: Database) -> None:
    def fail(connection: Connection) -> None:
        rows.add_user(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await any_database.write(fail)
    assert await any_database.read(usernames) == []
    await any_database.write(rows.add_user)
    assert await any_database.read(usernames) == ["alice"]


@sqlite_only
async def test_fifty_parallel_read_write_transactions_lose_no_update(
    any_database: Database, other_process: Database
) -> None:
    await any_database.write(rows.add_user)

    def increment(connection: Connection) -> None:
        failures = connection.execute(select(UserRow.otp_failures)).scalar_one()
        connection.execute(update(UserRow).values(otp_failures=failures + 1))

    writes = ((any_database, other_process)[number % 2].write(increment) for number in range(50))
    assert await asyncio.gather(*writes, return_exceptions=True) == [None] * 50
    assert await any_database.read(lambda connection: connection.scalar(select(UserRow.otp_failures))) == 50


async def test_a_read_sees_all_earlier_commits(database: Database, other_process: Database) -> None:
    for name in ("alice", "bob"):
        await database.write(partial(rows.add_user, username=name))
        assert name in await other_process.read(usernames)


@sqlite_only
async def test_a_read_neither_waits_for_a_write_nor_sees_half_of_it(database: Database, database_url: str) -> None:
    await database.write(rows.add_user)
    with closing(sqlite3.connect(database_url.removeprefix("sqlite+aiosqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM mfa_users")
        assert await database.read(usernames) == ["alice"]
        other.execute("COMMIT")
    assert await database.read(usernames) == []


async def test_errors_do_not_show_the_values(database: Database) -> None:
    await database.write(rows.add_user)
    with pytest.raises(IntegrityError) as error:
        await database.write(lambda connection: rows.add_user(connection, password_hash="hunter2"))
    assert "hunter2" not in str(error.value)
    assert "parameters hidden" in str(error.value)


def test_errors_do_not_show_the_values_on_postgresql_either() -> None:
    database = Database("postgresql+asyncpg://127.0.0.1:1/nothing")
    assert isinstance(database._backend, Postgresql)
    assert database._backend.engine.sync_engine.hide_parameters
    assert database._backend._reader.sync_engine.hide_parameters


def fail_at_commit(connection: Connection) -> None:
    connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    rows.add_user(connection, username="mallory")
    rows.add_session(connection, uuid4())


def fill_the_disk(connection: Connection) -> None:
    """For some of its errors SQLite rolls back by itself."""
    connection.execute(text("PRAGMA max_page_count = 1"))
    for number in range(1_000):
        rows.add_user(connection, username=f"mallory {number}")


@sqlite_only
@pytest.mark.parametrize(
    ("fail", "error"), [(fail_at_commit, IntegrityError), (fill_the_disk, UnavailableError)], ids=["constraint", "disk"]
)
async def test_a_commit_that_fails_is_rolled_back(
    any_database: Database, other_process: Database, fail: Callable[[Connection], None], error: type[Exception]
) -> None:
    await any_database.read(lambda connection: connection.execute(text("PRAGMA foreign_keys = ON")))
    for _ in range(2):
        with pytest.raises(error):
            await any_database.write(fail)
    await other_process.write(rows.add_user)
    await any_database.write(lambda connection: connection.execute(text(f"PRAGMA max_page_count = {2**32 - 2}")))
    await any_database.write(partial(rows.add_user, username="bob"))
    assert await any_database.read(usernames) == ["alice", "bob"]


@postgresql_only
async def test_closing_waits_for_connections_that_are_being_discarded(database: Database) -> None:
    sleeping = asyncio.create_task(database.read(lambda connection: connection.execute(text("SELECT pg_sleep(60)"))))
    while not connections_in_use(database):  # noqa: ASYNC110 - the pool has no event to wait for
        await asyncio.sleep(0)
    sleeping.cancel()
    await database.close()
    assert connections_in_use(database) == 0
    assert sleeping.cancelled()


async def test_foreign_keys_are_enforced(database: Database) -> None:
    nobody = await database.write(rows.add_user)
    await database.write(lambda connection: connection.execute(text("DELETE FROM mfa_users")))
    with pytest.raises(IntegrityError):
        await database.write(lambda connection: rows.add_session(connection, nobody))


@pytest.mark.parametrize("offset", [0, 2, -9.5])
async def test_a_datetime_is_read_back_in_utc(database: Database, offset: float) -> None:
    instant = datetime(2026, 7, 1, 12, 30, 15, 123_456, tzinfo=timezone(timedelta(hours=offset)))
    await database.write(lambda connection: rows.add_user(connection, created_at=instant))
    stored = await database.read(lambda connection: connection.scalar(select(UserRow.created_at)))
    assert stored == instant
    assert stored is not None
    assert stored.tzinfo is UTC
