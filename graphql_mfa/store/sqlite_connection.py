"""An aiosqlite connection that runs entire transactions in its thread.

SQLAlchemy makes up to four trips to that thread per statement, and a trip costs more than the statement.
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
    """Calls SQLite directly, without suspending, in its own thread; in others it queues calls, as aiosqlite does."""

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
        """Run a coroutine that awaits only this connection, in the connection's thread."""
        # aiosqlite calls the methods of cursors in that thread.
        job: Any = SimpleNamespace(fetchone=partial(copy_context().run, _run_without_suspending, coroutine))
        result: Any = await aiosqlite.Cursor(self, job).fetchone()
        return result  # type: ignore[no-any-return]

    def cursor(self) -> Any:
        """A cursor, which SQLAlchemy 2.0 awaits and 2.1 enters."""
        return _DirectCursor(self, self.sqlite.cursor()) if self._in_own_thread else super().cursor()

    async def commit(self) -> None:
        """Commit the current transaction, if any."""
        if self._in_own_thread:
            self.sqlite.commit()
        else:
            await super().commit()

    async def rollback(self) -> None:
        """Roll back the current transaction, if any."""
        if self._in_own_thread:
            self.sqlite.rollback()
        else:
            await super().rollback()

    @property
    def _in_own_thread(self) -> bool:
        return get_ident() == self.own_thread.ident


async def open_connection(connect: Callable[[], sqlite3.Connection]) -> SqliteConnection:
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
