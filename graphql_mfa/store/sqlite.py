"""SQLite: a transaction runs whole in a thread, since each statement by itself would cost two hops between threads."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

_BUSY_SECONDS = 10  # how long a writer waits for another process's
_READERS = 4


class Sqlite:
    """One file: one thread that writes, as SQLite allows no more, and several that read."""

    def __init__(self, file: Path) -> None:
        self._writer = _Threads(file, 1, "sqlite-writer")
        self._reader = _Threads(file, _READERS, "sqlite-reader")
        # A transaction that reads first and then writes would otherwise overwrite what another one wrote in between.
        # Not by an event of the engine: with any, it runs every statement on a slower path.
        self._writer.engine.dialect.do_begin = _begin_immediate  # type: ignore[method-assign, assignment]

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run one transaction, which holds the write lock from its start."""
        return await self._writer.run(transaction)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run reads in autocommit mode."""
        return await self._reader.run(query)

    async def change_schema(self, change: Callable[[Connection], None]) -> None:
        """Run one transaction like any other."""
        await self.write(change)

    async def close(self) -> None:
        """Finish what was begun, then close every connection."""
        await self._writer.close()
        await self._reader.close()


class _Threads:
    """As many threads as connections."""

    def __init__(self, file: Path, size: int, name: str) -> None:
        url = URL.create("sqlite", database=str(file))
        self.engine = create_engine(
            url,
            hide_parameters=True,
            pool_size=size,
            max_overflow=0,
            pool_reset_on_return=None,  # `begin` has committed or rolled back
        )
        self._threads = ThreadPoolExecutor(size, name)
        event.listen(self.engine, "connect", _set_up)

    async def run(self, transaction: Callable[[Connection], T]) -> T:
        """Run it in the next free thread, unless the caller was cancelled before it began."""
        cancelled = threading.Event()

        def transact() -> T:
            with self.engine.begin() as connection:
                # It may have waited long for another process's transaction.
                if cancelled.is_set():
                    raise CancelledError
                return transaction(connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, transact)
        finally:
            cancelled.set()

    async def close(self) -> None:
        """Finish what was begun."""
        await asyncio.to_thread(self._threads.shutdown)
        self.engine.dispose()


def _set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver opens no transactions by itself.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_SECONDS * 1000}",
        "journal_mode=WAL",
        # An acknowledged write survives a crash of the process and of the machine.
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: DBAPIConnection) -> None:
    connection.cursor().execute("BEGIN IMMEDIATE")
