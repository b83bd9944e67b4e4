"""Engines, and how a transaction runs.

A transaction is a plain function of a connection. It can't await, so nothing slow can happen while it holds a lock; it
commits when it returns and rolls back when it raises, so an expected failure is returned, with its counters.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from graphql_mfa.store import migrations

T = TypeVar("T")

_SQLITE = "sqlite+aiosqlite"
_DRIVERS = (_SQLITE, "postgresql+asyncpg")
_BUSY_SECONDS = 10  # how long a writer waits for another process's
_READERS = 4


class UnsupportedDatabaseError(ValueError):
    """A URL that the store can't keep its promises on."""


class Database:
    """One store: one connection that writes and several that read on SQLite, one pool elsewhere."""

    def __init__(self, url: str) -> None:
        self._file = sqlite_file(url)
        if self._file:
            self._writer = _sqlite_engine(url, pool_size=1)
            event.listen(self._writer.sync_engine, "begin", _begin_immediate)
            reader = _sqlite_engine(url, pool_size=_READERS)
        else:
            reader = self._writer = create_async_engine(url, hide_parameters=True, pool_pre_ping=True)
        self._reader = reader.execution_options(isolation_level="AUTOCOMMIT")

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run one transaction. On SQLite it holds the write lock from its start."""
        async with self._writer.begin() as connection:
            return await connection.run_sync(transaction)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run reads, each of which sees what was committed before it."""
        async with self._reader.connect() as connection:
            return await connection.run_sync(query)

    async def migrate(self) -> None:
        """Bring the schema to this version. Safe when several processes do it at once.

        A new SQLite file is readable by its owner only, and so are the files that SQLite keeps beside it.
        """
        if self._file:
            self._file.touch(mode=0o600)
        if not await self.migrated():
            await self.write(migrations.upgrade)

    async def migrated(self) -> bool:
        """Whether the schema is this version's. False as well when it can't be found out."""
        try:
            return await self.read(_revision) == migrations.HEAD
        except (SQLAlchemyError, OSError):
            return False

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        await self._reader.dispose()


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for PostgreSQL.

    Raises UnsupportedDatabaseError, whose message does not repeat the URL: there may be a password in it.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UnsupportedDatabaseError("The database URL is not one.") from None
    if parsed.drivername not in _DRIVERS:
        raise UnsupportedDatabaseError(f"The database URL must begin with one of {', '.join(_DRIVERS)}.")
    if parsed.drivername != _SQLITE:
        return None
    if not parsed.database or ":memory:" in parsed.database or parsed.query.get("mode") == "memory":
        raise UnsupportedDatabaseError("An SQLite store is a file: in memory, one rollback undoes another's commit.")
    return Path(parsed.database)


def _sqlite_engine(url: str, *, pool_size: int) -> AsyncEngine:
    engine = create_async_engine(url, hide_parameters=True, pool_size=pool_size, max_overflow=0)
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    return engine


def _revision(connection: Connection) -> str | None:
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _set_up_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver opens no transactions by itself: `_begin_immediate` does.
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


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and then writes would otherwise overwrite what another one wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
