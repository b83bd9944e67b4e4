"""Transactions that wait at the same time, which SQLite commits as one: each is as good as alone."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError

from graphql_mfa.store.compiled import CompiledConnection
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import User
from tests.conftest import sqlite_only
from tests.store import rows

pytestmark = sqlite_only

Transaction = Callable[[Connection], Any]


def usernames(connection: Connection) -> list[str]:
    return list(connection.scalars(select(User.username).order_by(User.username)))


def add(name: str) -> Transaction:
    return partial(rows.add_user, username=name)


def refuse(connection: Connection) -> None:
    rows.add_user(connection, username="mallory")
    raise ZeroDivisionError


def undo_everything(connection: Connection) -> None:
    """What SQLite does itself where the disk is full."""
    assert isinstance(connection, CompiledConnection)
    connection.driver.execute("ROLLBACK")
    raise MemoryError


def fail_at_commit(connection: Connection) -> None:
    connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    rows.add_session(connection, uuid4())


async def together(database: Database, transactions: Sequence[Transaction]) -> tuple[list[Any], list[str]]:
    """Run transactions that wait for another one: what each gave or raised, and what SQLite began and committed."""
    began, may_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    statements: list[str] = []

    def keep_the_writer(connection: Connection) -> None:
        assert isinstance(connection, CompiledConnection)
        loop.call_soon_threadsafe(began.set)
        may_go_on.wait()
        connection.driver.set_trace_callback(statements.append)

    first = asyncio.create_task(database.write(keep_the_writer))
    await began.wait()
    waiting = [asyncio.create_task(database.write(transaction)) for transaction in transactions]
    await asyncio.sleep(0)
    may_go_on.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    await first
    return told, [word for statement in statements if (word := statement.split()[0]) in {"BEGIN", "COMMIT"}]


async def test_they_are_committed_once(database: Database) -> None:
    told, statements = await together(database, [add("alice"), add("bob"), usernames])
    assert told[-1] == ["alice", "bob"]
    assert statements == ["COMMIT", "BEGIN", "COMMIT"]
    assert await database.read(usernames) == ["alice", "bob"]


async def test_one_that_raises_undoes_its_own_work_only(database: Database) -> None:
    told, _ = await together(database, [add("alice"), refuse, add("alice"), add("bob")])
    assert [type(answer) for answer in told[1:3]] == [ZeroDivisionError, IntegrityError]
    assert await database.read(usernames) == ["alice", "bob"]


async def test_nobody_is_told_of_success_when_the_commit_fails(database: Database) -> None:
    told, _ = await together(database, [add("alice"), fail_at_commit, add("bob")])
    assert [type(answer) for answer in told] == [IntegrityError] * 3
    assert await database.read(usernames) == []
    await database.write(add("carol"))
    assert await database.read(usernames) == ["carol"]


async def test_nobody_is_told_of_success_when_sqlite_undid_all_of_it(database: Database) -> None:
    told, _ = await together(database, [add("alice"), undo_everything, add("bob")])
    assert [type(answer) for answer in told] == [MemoryError] * 3
    assert await database.read(usernames) == []
    await database.write(add("carol"))
    assert await database.read(usernames) == ["carol"]
