"""A transaction on SQLite runs whole in the thread of its connection."""

import asyncio
import logging
import threading
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.util import await_only

from graphql_mfa.store.database import Database
from graphql_mfa.store.models import UserRow
from graphql_mfa.store.outages import UnusableDatabaseError
from tests.conftest import sqlite_only
from tests.store import rows

pytestmark = sqlite_only

NAMES = ["alice", "bob", "carol"]


@pytest.fixture
async def database(database: Database) -> Database:
    """A store whose connections are open, and that has three accounts."""
    for name in NAMES:
        await database.write(partial(rows.add_user, username=name))
    return database


def usernames(connection: Connection) -> list[str]:
    return list(connection.scalars(select(UserRow.username).order_by(UserRow.username)))


async def test_a_transaction_is_one_call_to_the_thread(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """aiosqlite logs each call."""
    await database.read(usernames)
    for run in (database.write, database.read):
        with caplog.at_level(logging.DEBUG, "aiosqlite"):
            caplog.clear()
            assert await run(lambda connection: [usernames(connection) for _ in range(3)]) == [NAMES] * 3
        calls = [record for record in caplog.records if record.getMessage().startswith("executing")]
        assert len(calls) == 1


async def test_every_connection_method_works_inside_its_thread(database: Database) -> None:
    def transact(connection: Connection) -> None:
        connection.execute(update(UserRow).where(UserRow.username == "carol").values(username="dave"))
        users = connection.execute(select(UserRow.__table__).where(UserRow.username == "bob")).mappings().all()
        copies = [dict(users[0]) | {"id": uuid4(), "username": name, "username_key": name} for name in "xy"]
        connection.execute(insert(UserRow), copies)
        savepoint = connection.begin_nested()
        connection.execute(text("DELETE FROM mfa_users"))
        savepoint.rollback()
        renamed = (
            update(UserRow).where(UserRow.username == "alice").values(username="alicia").returning(UserRow.username)
        )
        assert connection.execute(renamed).scalars().all() == ["alicia"]

    def stream(connection: Connection) -> list[str]:
        names = select(UserRow.username).order_by(UserRow.username).execution_options(yield_per=2)
        return [row.username for row in connection.execute(names)]

    await database.write(transact)
    assert await database.read(stream) == ["alicia", "bob", "dave", "x", "y"]
    one_by_one = select(UserRow.username).order_by(UserRow.username).execution_options(stream_results=True)
    assert await database.read(lambda connection: connection.execute(one_by_one).fetchone()) == ("alicia",)


async def test_a_transaction_that_awaits_something_else_fails_and_is_rolled_back(database: Database) -> None:
    def wait(connection: Connection) -> None:
        connection.execute(text("DELETE FROM mfa_users"))
        await_only(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="can't wait"):
        await database.write(wait)
    await database.write(partial(rows.add_user, username="dave"))
    assert await database.read(usernames) == [*NAMES, "dave"]


async def test_a_transaction_runs_in_the_context_of_its_caller(database: Database) -> None:
    context = ContextVar("context", default="")
    context.set("a request")
    assert await database.write(lambda _: context.get()) == "a request"


async def test_threads_are_daemons_and_end_with_the_database(database_url: str, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    database = Database(database_url)
    await asyncio.gather(*(database.read(usernames) for _ in range(10)))
    threads = set(threading.enumerate()) - before
    assert {thread.daemon for thread in threads} == {True}
    await database.close()
    for thread in threads:
        await asyncio.to_thread(thread.join)

    (tmp_path / "no.db").write_bytes(b"x" * 5_000)
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/no.db")
    before = set(threading.enumerate())
    with pytest.raises(UnusableDatabaseError):
        await database.read(usernames)
    assert set(threading.enumerate()) <= before
