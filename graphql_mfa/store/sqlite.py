"""SQLite: a transaction runs whole in a thread, since each statement by itself would cost two hops between threads."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from graphql_mfa.store.compiled import CompiledConnection
from graphql_mfa.store.worker_thread import Job, WorkerThread

T = TypeVar("T")

# How long to wait for a lock. Nothing but the repair after a crash locks readers out.
_WRITER_BUSY_SECONDS = 10
_READER_BUSY_SECONDS = 0.1
# Whoever came first waits for all of them, and so does another process: some ten milliseconds.
_MOST_IN_ONE_COMMIT = 32


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
        self._writer = WorkerThread("sqlite-writer", self._commit_together, _MOST_IN_ONE_COMMIT)

    @cached_property
    def _write_connection(self) -> CompiledConnection:
        return CompiledConnection(self._write_engine)

    @cached_property
    def _read_connection(self) -> Connection:
        return CompiledConnection(self._read_engine)

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run one transaction, which holds the write lock from its start, unless the caller was cancelled before."""
        result: T = await self._writer.submit(transaction)
        return result

    def _commit_together(self, jobs: Sequence[Job[Callable[[Connection], Any]]]) -> None:
        """Commit transactions that wait at the same time as one, since that is to wait for the disk.

        One that fails undoes its own work only, and none is told of success before all of it is on the disk.
        """
        connection = self._write_connection
        driver = connection.driver
        try:
            with connection.begin():
                for job in jobs:
                    # It may have waited long for another process's transaction.
                    if job.cancelled:
                        continue
                    driver.execute("SAVEPOINT job")
                    try:
                        job.succeed(job.work(connection))
                    except BaseException as error:
                        if not driver.in_transaction:  # SQLite undid what the others did as well
                            raise
                        driver.execute("ROLLBACK TO job")
                        job.fail(error)
                    driver.execute("RELEASE job")
        except BaseException:
            # After a commit that failed SQLAlchemy leaves the driver inside of the transaction, lock and all.
            driver.rollback()
            raise

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
