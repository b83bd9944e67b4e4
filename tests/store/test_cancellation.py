"""A caller that is cancelled at any moment leaves the store as if it had never come, or as if it had stayed."""

import asyncio
import itertools
import sqlite3
from collections.abc import Callable, Coroutine, Generator
from contextlib import closing
from contextvars import ContextVar
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, select, update

from graphql_mfa.store.database import Database
from graphql_mfa.store.models import UserRow
from tests.clock import WAIT
from tests.conftest import connections_in_use, on_each_engine, sqlite_only
from tests.store import rows

pytestmark = on_each_engine

OTHERS = 3

Suspended = Callable[[Any], None]


@pytest.fixture
async def database(any_database: Database) -> Database:
    """A store with one account."""
    await any_database.write(rows.add_user)
    return any_database


def count_twice(connection: Connection) -> None:
    """Two statements, of which the first locks the account's row."""
    for _ in range(2):
        found = connection.execute(select(UserRow.otp_failures)).scalar_one()
        connection.execute(update(UserRow).values(otp_failures=found + 1))


def counted(connection: Connection) -> int:
    return connection.execute(select(UserRow.otp_failures)).scalar_one()


_watched: ContextVar[Suspended | None] = ContextVar("watched", default=None)


class Watched:
    """A coroutine; `suspended` gets each future that it waits for, before it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], suspended: Suspended) -> None:
        self.coroutine, self.suspended = coroutine, suspended

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self.coroutine.send, None
        while True:
            try:
                future = step(value)
            except StopIteration as done:
                return done.value
            self.suspended(future)
            try:
                step, value = self.coroutine.send, (yield future)
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's
                step, value = self.coroutine.throw, error


async def run_watched(coroutine: Coroutine[Any, Any, Any], suspended: Suspended) -> Any:
    return await Watched(coroutine, suspended)


def task_factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Watches the tasks that a watched task creates as well."""
    suspended = _watched.get()
    return asyncio.Task(run_watched(coroutine, suspended) if suspended else coroutine, loop=loop, **options)


class Victim:
    """A task that is cancelled when it, or a task of its own, suspends for the nth time.

    late: not before that wait is over, when the task is about to go on. reached: whether there was an nth time.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], step: int, *, late: bool) -> None:
        loop, steps = asyncio.get_running_loop(), itertools.count(1)
        self.reached = False

        def suspended(future: asyncio.Future[Any] | None) -> None:
            if next(steps) != step:
                return
            self.reached = True
            if late and future is not None:
                future.add_done_callback(lambda _: self.task.cancel())
            else:
                loop.call_soon(lambda: self.task.cancel())

        loop.set_task_factory(task_factory)
        token = _watched.set(suspended)
        self.task = loop.create_task(coroutine)
        _watched.reset(token)
        self.task.add_done_callback(lambda _: loop.set_task_factory(None))


async def no_connection_in_use(database: Database) -> None:
    while connections_in_use(database):  # noqa: ASYNC110 - the pool has no event for it
        await asyncio.sleep(0)


@pytest.mark.parametrize("late", [False, True], ids=["while it waits", "when the wait is over"])
@pytest.mark.parametrize("others", [0, OTHERS], ids=["alone", "among others"])
async def test_a_write_cancelled_at_any_await_is_atomic_and_leaves_no_lock(
    database: Database, other_process: Database, late: bool, others: int
) -> None:
    before, outcomes = 0, []
    for step in itertools.count(1):
        waiting = [asyncio.create_task(database.write(count_twice)) for _ in range(others)]
        victim = Victim(database.write(count_twice), step, late=late)
        waiting += [asyncio.create_task(database.write(count_twice)) for _ in range(others)]
        async with asyncio.timeout(WAIT):
            await asyncio.wait([victim.task, *waiting])
            await asyncio.gather(*waiting)
            await no_connection_in_use(database)
            await database.write(count_twice)
            await other_process.write(count_twice)
        after = await database.read(counted)
        outcomes.append((victim.task.cancelled(), after - before - 2 * (len(waiting) + 2)))
        before = after
        if not victim.reached:
            break
    assert set(outcomes) <= {(True, 0), (True, 2), (False, 2)}
    assert outcomes[-1] == (False, 2)
    assert any(cancelled for cancelled, _ in outcomes)


async def test_cancelling_half_of_fifty_writes_does_not_affect_the_others(
    database: Database, other_process: Database
) -> None:
    tasks = [asyncio.create_task(database.write(count_twice)) for _ in range(50)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    cancelled = [answer for answer in answers if isinstance(answer, asyncio.CancelledError)]
    assert set(answers) == {None, *cancelled}
    async with asyncio.timeout(WAIT):
        await no_connection_in_use(database)
        await database.write(count_twice)
        await other_process.write(count_twice)
    assert len(cancelled) >= 25 - len(done)
    # One was under way, and may have been committing.
    assert 52 - len(cancelled) <= await database.read(counted) / 2 <= 53 - len(cancelled)


@pytest.mark.parametrize("late", [False, True], ids=["while it waits", "when the wait is over"])
async def test_a_read_cancelled_at_any_await_returns_its_connection_to_the_pool(database: Database, late: bool) -> None:
    cancelled = []
    for step in itertools.count(1):
        victim = Victim(database.read(counted), step, late=late)
        async with asyncio.timeout(WAIT):
            await asyncio.wait([victim.task])
            await no_connection_in_use(database)
        cancelled.append(victim.task.cancelled())
        if not victim.reached:
            break
    assert await victim.task == 0
    assert any(cancelled)


@sqlite_only
async def test_a_caller_cancelled_while_waiting_for_the_lock_returns_at_once_and_writes_nothing(
    database: Database, database_url: str
) -> None:
    with closing(sqlite3.connect(make_url(database_url).database or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        tasks = [asyncio.create_task(database.write(count_twice)) for _ in range(3)]
        while not connections_in_use(database):  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(WAIT):
            await asyncio.wait(tasks)
        assert connections_in_use(database) == 1
        other.execute("ROLLBACK")
    async with asyncio.timeout(WAIT):
        await database.write(count_twice)
    assert [task.cancelled() for task in tasks] == [True] * 3
    assert await database.read(counted) == 2
