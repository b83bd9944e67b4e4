"""SQLite: one write transaction at a time, which takes the write lock at its start.

A transaction runs entirely in the thread of its connection. SQLAlchemy makes up to four trips to that thread per
statement, and a trip costs more than the statement.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from pathlib import Path
from threading import Event, Thread, current_thread
from types import SimpleNamespace
from typing import Any, Self, TypeVar

import aiosqlite
from sqlalchemy import URL, Connection, StaticPool, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from graphql_mfa.store.outages import UnsupportedDatabaseError

T = TypeVar("T")

IN_MEMORY = "SQLite needs a file: in memory, one transaction's rollback undoes another's commit."

_CONNECTIONS = 4  # one writes; a read takes about 0.1 ms, and does not wait for it
_BUSY_SECONDS = 10
_PRAGMAS = (
    f"busy_timeout={_BUSY_SECONDS * 1000}",
    "journal_mode=WAL",
    # Acknowledged writes survive a crash of the process and of the machine.
    "synchronous=FULL",
    "foreign_keys=ON",
)
_FILE = text("SELECT file FROM pragma_database_list WHERE name = 'main'")
# SQLite's answers for these values or stricter ones. 3 is synchronous=EXTRA.
_ACCEPTED = {
    "busy_timeout": range(1, 2**31),
    "journal_mode": ("wal",),
    "synchronous": (2, 3),
    "foreign_keys": (1,),
}


def _engine_for(file: Path) -> AsyncEngine:
    """An engine whose transactions run entirely in the thread of their connection."""

    def connect() -> sqlite3.Connection:
        # isolation_level=None: the driver begins no transactions.
        connection = sqlite3.connect(file, isolation_level=None)
        try:
            _set_pragmas(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    return create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(file)),
        async_creator=partial(_open_connection, connect),
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_BUSY_SECONDS,
        # The connection used last has its statements prepared.
        pool_use_lifo=True,
        # `Sqlite` ends every transaction; a rollback here would be another trip to the thread.
        pool_reset_on_return=None,
    )


def configure_sqlite(engine: AsyncEngine) -> None:
    """Configure an engine for `GraphQLMFA(engine=…)`. Call it before the engine's first use.

    Each new connection gets WAL, synchronous=FULL, foreign keys, and a busy timeout of ten seconds.
    """
    event.listen(engine.sync_engine, "connect", lambda connection, _: _set_pragmas(connection))


def _set_pragmas(connection: sqlite3.Connection | DBAPIConnection) -> None:
    cursor = connection.cursor()
    try:
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()


class Sqlite:
    """Runs transactions with BEGIN IMMEDIATE.

    SQLAlchemy and the driver would send a plain BEGIN, under which transactions that read first lose updates.
    """

    def __init__(self, where: Path | AsyncEngine) -> None:
        """where: the file, or a host's engine, which `close` leaves open."""
        self._owned = isinstance(where, Path)
        self.engine = _engine_for(where) if isinstance(where, Path) else where
        self._writing = asyncio.Lock()
        self._unfinished: set[asyncio.Task[object]] = set()

    async def check(self) -> None:
        """Raise UnsupportedDatabaseError if transactions on a host's engine would not be safe."""
        if self._owned:
            return
        await self.read(_check)
        if isinstance(self.engine.pool, StaticPool):
            raise UnsupportedDatabaseError(
                "The engine's StaticPool gives one connection to several transactions at once: use another pool."
            )

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        async with asyncio.timeout(_BUSY_SECONDS):
            await self._writing.acquire()
        return await self._run_in_task(_immediately, transaction, then=self._writing.release)

    async def read(self, query: Callable[[Connection], T]) -> T:
        return await self._run_in_task(_in_autocommit, query)

    change_schema = write

    async def close(self) -> None:
        """Wait for the transactions of cancelled callers, then close the connections."""
        if self._unfinished:
            await asyncio.wait(self._unfinished)
        if self._owned:
            await self.engine.dispose()

    async def _run_in_task(
        self,
        run: Callable[[Connection, Callable[[Connection], T], Event], T],
        transaction: Callable[[Connection], T],
        *,
        then: Callable[[], None] = lambda: None,
    ) -> T:
        """Cancelling the caller never interrupts a connection, since only the task uses it."""
        cancelled = Event()
        task = asyncio.create_task(self._run(lambda connection: run(connection, transaction, cancelled)))
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        task.add_done_callback(lambda _: then())
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled.set()
            # Retrieve the task's error: asyncio logs unretrieved ones.
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise
        return task.result()

    async def _run(self, function: Callable[[Connection], T]) -> T:
        async with self.engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            if isinstance(driver, SqliteConnection):
                return await driver.run(connection.run_sync(function))
            return await connection.run_sync(_without_driver_transactions, function)


def _without_driver_transactions(connection: Connection, function: Callable[[Connection], T]) -> T:
    # SQLAlchemy's AUTOCOMMIT would lose the host's isolation_level.
    driver: Any = connection.connection.dbapi_connection
    before, driver.isolation_level = driver.isolation_level, None
    try:
        return function(connection)
    finally:
        driver.isolation_level = before


def _immediately(connection: Connection, transaction: Callable[[Connection], T], cancelled: Event) -> T:
    """Take the write lock first: a transaction that reads before would overwrite what others wrote meanwhile."""
    with connection.begin():
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _stop_if(cancelled)
        result = transaction(connection)
        _stop_if(cancelled)
        connection.exec_driver_sql("COMMIT")
    return result


def _in_autocommit(connection: Connection, transaction: Callable[[Connection], T], cancelled: Event) -> T:
    with connection.begin():
        _stop_if(cancelled)
        return transaction(connection)


def _check(connection: Connection) -> None:
    if not connection.scalar(_FILE):
        raise UnsupportedDatabaseError(IN_MEMORY)
    if getattr(connection.connection.driver_connection, "in_transaction", False):
        raise UnsupportedDatabaseError(
            "The engine begins transactions by an event listener or `autocommit=False`, which loses updates: give "
            "graphql_mfa an engine without it."
        )
    wrong = [
        name
        for name, accepted in _ACCEPTED.items()
        if connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() not in accepted
    ]
    if wrong:
        raise UnsupportedDatabaseError(
            f"The engine's connections need other pragmas ({', '.join(wrong)}): call "
            "`graphql_mfa.configure_sqlite(engine)` where the engine is created."
        )


def _stop_if(cancelled: Event) -> None:
    if cancelled.is_set():
        raise asyncio.CancelledError


class SqliteConnection(aiosqlite.Connection):
    """Calls SQLite directly, without suspending, in its own thread; in others it queues calls, as aiosqlite does."""

    own_thread: Thread
    sqlite: sqlite3.Connection

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        def connect_here() -> sqlite3.Connection:
            self.own_thread = current_thread()
            self.sqlite = connect()
            return self.sqlite

        super().__init__(connect_here, iter_chunk_size=64)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that awaits only this connection, in the connection's thread."""
        # aiosqlite calls the methods of cursors in that thread.
        job: Any = SimpleNamespace(fetchone=partial(copy_context().run, _run_without_suspending, coroutine))
        result: Any = await aiosqlite.Cursor(self, job).fetchone()
        return result  # type: ignore[no-any-return]

    def cursor(self) -> Any:
        """A cursor, which SQLAlchemy 2.0 awaits and 2.1 enters."""
        return _DirectCursor(self, self.sqlite.cursor()) if self._in_own_thread else super().cursor()

    async def commit(self) -> None:
        if self._in_own_thread:
            self.sqlite.commit()
        else:
            await super().commit()

    async def rollback(self) -> None:
        if self._in_own_thread:
            self.sqlite.rollback()
        else:
            await super().rollback()

    @property
    def _in_own_thread(self) -> bool:
        return current_thread() is self.own_thread


async def _open_connection(connect: Callable[[], sqlite3.Connection]) -> SqliteConnection:
    """Open a connection whose thread is a daemon, so that it doesn't keep the process alive."""
    made: list[SqliteConnection] = []
    # Threads inherit `daemon` from the thread that creates them.
    creator = Thread(target=lambda: made.append(SqliteConnection(connect)), daemon=True)
    creator.start()
    creator.join()
    (connection,) = made
    try:
        await connection
    except Exception:
        # aiosqlite ends the thread, which last calls the event loop; that may be closed soon.
        connection.own_thread.join()
        raise
    return connection


class _DirectCursor(aiosqlite.Cursor):
    """A cursor that runs in the connection's thread."""

    def __init__(self, connection: SqliteConnection, cursor: sqlite3.Cursor) -> None:
        super().__init__(connection, cursor)
        self.sqlite = cursor

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self

    async def execute(self, sql: str, parameters: Any = None) -> Self:
        self.sqlite.execute(sql, parameters or ())
        return self

    async def executemany(self, sql: str, parameters: Any) -> Self:
        self.sqlite.executemany(sql, parameters)
        return self

    async def fetchone(self) -> Any:
        return self.sqlite.fetchone()

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        return self.sqlite.fetchmany(self.sqlite.arraysize if size is None else size)

    async def fetchall(self) -> list[Any]:
        return self.sqlite.fetchall()

    async def close(self) -> None:
        self.sqlite.close()


def _run_without_suspending(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("A transaction on SQLite can't wait for anything but its connection.")
