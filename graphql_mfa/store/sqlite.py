"""SQLite: a transaction runs whole in a thread, since each statement by itself would cost two hops between threads."""

import asyncio
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from graphql_mfa.store.compiled import CompiledConnection
from graphql_mfa.store.worker_thread import WorkerThread

T = TypeVar("T")

# How long to wait for a lock. Nothing but the repair after a crash locks readers out.
_WRITER_BUSY_SECONDS = 10
_READER_BUSY_SECONDS = 0.1


class Sqlite:
    """One file: a thread with the connection that writes, and one that reads without a thread.

    Looking a row up takes half as long as waking a thread, and in WAL mode no writer makes it wait.
    """

    def __init__(self, file: Path) -> None:
        self._read_engine = _engine(file, _READER_BUSY_SECONDS)
        self._write_engine = _engine(file, _WRITER_BUSY_SECONDS)
        # A transaction that reads first and then writes would otherwise overwrite what another one wrote in between.
        # Not by an event of the engine: with any, it runs every statement on a slower path.
        self._write_engine.dialect.do_begin = _begin_immediate  # type: ignore[method-assign, assignment]
        self._writer = WorkerThread("sqlite-writer")

    @cached_property
    def _write_connection(self) -> Connection:
        return CompiledConnection(self._write_engine)

    @cached_property
    def _read_connection(self) -> Connection:
        return CompiledConnection(self._read_engine)

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run one transaction, which holds the write lock from its start, unless the caller was cancelled before."""

        def transact(answer: asyncio.Future[T]) -> T:
            try:
                with self._write_connection.begin():
                    # It may have waited long for another process's transaction.
                    if answer.cancelled():
                        raise asyncio.CancelledError
                    return transaction(self._write_connection)
            except BaseException:
                # After a commit that failed SQLAlchemy leaves the driver inside of the transaction, lock and all.
                self._write_connection.connection.rollback()
                raise

        return await self._writer.run(transact)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run reads, in no transaction of the driver's."""
        with self._read_connection.begin():
            return query(self._read_connection)

    async def change_schema(self, change: Callable[[Connection], None]) -> None:
        """Run one transaction like any other."""
        await self.write(change)

    async def close(self) -> None:
        """Finish what was begun, then close both connections."""
        await self._writer.close()
        for connection in (self.__dict__.get("_write_connection"), self.__dict__.get("_read_connection")):
            if connection is not None:
                connection.close()
        self._write_engine.dispose()
        self._read_engine.dispose()


def _engine(file: Path, busy_seconds: float) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(file)), hide_parameters=True, pool_reset_on_return=None)

    def set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver opens no transactions by itself.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={int(busy_seconds * 1000)}",
            "journal_mode=WAL",
            # An acknowledged write survives a crash of the process and of the machine.
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", set_up)
    return engine


def _begin_immediate(connection: DBAPIConnection) -> None:
    connection.cursor().execute("BEGIN IMMEDIATE")
