"""A connection of aiosqlite that runs a whole transaction in its thread.

SQLAlchemy makes up to four trips to that thread for each statement, and a trip costs more than the statement.
"""

import sqlite3
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from threading import Thread, current_thread, get_ident
from types import SimpleNamespace
from typing import Any, Self, TypeVar

import aiosqlite

T = TypeVar("T")

_CHUNK_ROWS = 64  # the default of aiosqlite.connect


class SqliteConnection(aiosqlite.Connection):
    """In its own thread it calls SQLite directly and never suspends; elsewhere it queues calls, as aiosqlite does."""

    own_thread: Thread
    sqlite: sqlite3.Connection

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """connect: called in the connection's thread."""

        def connect_here() -> sqlite3.Connection:
            self.own_thread = current_thread()
            self.sqlite = connect()
            return self.sqlite

        super().__init__(connect_here, _CHUNK_ROWS)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run, in the connection's thread, a coroutine that awaits nothing but this connection."""
        # aiosqlite calls a cursor's methods in the connection's thread.
        job: Any = SimpleNamespace(fetchone=partial(copy_context().run, _run_without_suspending, coroutine))
        result: Any = await aiosqlite.Cursor(self, job).fetchone()
        return result  # type: ignore[no-any-return]

    def cursor(self) -> Any:
        """A cursor, to be awaited (by SQLAlchemy 2.0) or entered (by 2.1)."""
        return _DirectCursor(self, self.sqlite.cursor()) if self._in_own_thread else super().cursor()

    async def commit(self) -> None:
        """Commit the current transaction, if there is one."""
        if self._in_own_thread:
            self.sqlite.commit()
        else:
            await super().commit()

    async def rollback(self) -> None:
        """Roll back the current transaction, if there is one."""
        if self._in_own_thread:
            self.sqlite.rollback()
        else:
            await super().rollback()

    @property
    def _in_own_thread(self) -> bool:
        return get_ident() == self.own_thread.ident


async def open_connection(connect: Callable[[], sqlite3.Connection]) -> SqliteConnection:
    """Open a connection that a process doesn't wait for when it ends."""
    made: list[SqliteConnection] = []
    # A thread inherits from the thread that creates it whether it is a daemon.
    creator = Thread(target=lambda: made.append(SqliteConnection(connect)), daemon=True)
    creator.start()
    creator.join()
    (connection,) = made
    try:
        await connection
    except Exception:
        # aiosqlite has ended the thread. Its last act is a call to the event loop, which may be closed soon.
        connection.own_thread.join()
        raise
    return connection


class _DirectCursor(aiosqlite.Cursor):
    """A cursor for use in the connection's thread."""

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
    raise RuntimeError("A transaction on SQLite can't wait for anything else.")
