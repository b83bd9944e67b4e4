"""SQLite: one write transaction at a time, which takes the write lock at its start."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, NullPool, StaticPool, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from graphql_mfa.store.sqlite_connection import SqliteConnection, open_connection

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


def engine_for(file: Path) -> AsyncEngine:
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
        async_creator=partial(open_connection, connect),
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


@contextmanager
def read_only(file: Path) -> Iterator[Connection]:
    """Open a file read-only."""
    uri = f"{file.absolute().as_uri()}?mode=ro"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


class Sqlite:
    """Runs transactions with BEGIN IMMEDIATE.

    SQLAlchemy and the driver would send a plain BEGIN, under which transactions that read first lose updates.
    """

    def __init__(self, engine: AsyncEngine, *, owned: bool) -> None:
        """owned: whether `close` disposes of the engine."""
        self.engine = engine
        self._owned = owned
        self._writing = asyncio.Lock()
        self._unfinished: set[asyncio.Task[object]] = set()

    async def fault(self) -> str | None:
        """Why transactions on a host's engine would not be safe, as a sentence."""
        if self._owned:
            return None
        if fault := await self.read(_fault):
            return fault
        if isinstance(self.engine.pool, StaticPool):
            return "The engine's StaticPool gives one connection to several transactions at once: use another pool."
        return None

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction."""
        async with asyncio.timeout(_BUSY_SECONDS):
            await self._writing.acquire()
        return await self._finish(_immediately, transaction, then=self._writing.release)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run reads in autocommit."""
        return await self._finish(_in_autocommit, query)

    async def change_schema(self, change: Callable[[Connection], T]) -> T:
        """Run a migration."""
        return await self.write(change)

    async def close(self) -> None:
        """Wait for running transactions, then close the connections."""
        if self._unfinished:
            await asyncio.wait(self._unfinished)
        if self._owned:
            await self.engine.dispose()

    async def _finish(
        self,
        run: Callable[[Connection, Callable[[Connection], T], Event], T],
        transaction: Callable[[Connection], T],
        *,
        then: Callable[[], None] = lambda: None,
    ) -> T:
        """Run it in a separate task, so that cancelling the caller never interrupts the connection."""
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
    """Call it while the driver begins no transactions. SQLAlchemy's AUTOCOMMIT would lose the host's setting."""
    driver: Any = connection.connection.dbapi_connection
    before, driver.isolation_level = driver.isolation_level, None
    try:
        return function(connection)
    finally:
        driver.isolation_level = before


def _immediately(connection: Connection, transaction: Callable[[Connection], T], cancelled: Event) -> T:
    """Take the write lock first: a transaction that reads before would overwrite what others wrote meanwhile."""
    with connection.begin():  # rolls back when it raises
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


def _fault(connection: Connection) -> str | None:
    if not connection.scalar(_FILE):
        return IN_MEMORY
    if getattr(connection.connection.driver_connection, "in_transaction", False):
        return (
            "The engine begins transactions by an event listener or `autocommit=False`, which loses updates: give "
            "graphql_mfa an engine without it."
        )
    wrong = [
        name
        for name, accepted in _ACCEPTED.items()
        if connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() not in accepted
    ]
    if not wrong:
        return None
    return (
        f"The engine's connections need other pragmas ({', '.join(wrong)}): call "
        "`graphql_mfa.configure_sqlite(engine)` where the engine is created."
    )


def _stop_if(cancelled: Event) -> None:
    if cancelled.is_set():
        raise asyncio.CancelledError
