"""A database that is out of reach, told apart from a statement that is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# Names of SQLite's results, and the beginnings of PostgreSQL's SQLSTATEs, with the longer names of either.
_LOST = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_IOERR", "SQLITE_FULL"),
    # A connection; resources; a server that stops or starts; a statement, a lock, a transaction that took too long.
    *("08", "53", "57P0", "57014", "55P03", "25P0"),
)
_UNUSABLE = (
    *("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM"),
    # A wrong password, or none that is accepted; no database of that name.
    *("28", "3D000"),
)


class OutOfReachError(Exception):
    """The database can't be reached, or did not answer in time. What its driver said is not repeated."""

    def __init__(self, cause: str) -> None:
        """cause: what the driver raised, by its name."""
        super().__init__(f"The database is out of reach ({cause}).")


class UnusableDatabaseError(OutOfReachError, ValueError):
    """Waiting does not mend it: it is no database, or it refuses whoever asks."""

    def __init__(self, cause: str) -> None:
        """cause: as above."""
        Exception.__init__(self, f"The database can't be used ({cause}).")


@contextmanager
def translate_connection_errors() -> Iterator[None]:
    """Raise OutOfReachError for errors that are not about the statements that run inside."""
    try:
        yield
    except (OSError, PoolTimeoutError) as error:
        raise OutOfReachError(type(error).__name__) from error
    except Exception as error:
        # SQLAlchemy 2.0 doesn't wrap what asyncpg raises when it can't connect.
        wrapper = error if isinstance(error, DBAPIError) else None
        cause = wrapper.orig if wrapper else error
        code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
        # The adapter of an asynchronous driver raises its own, from the driver's.
        name = code if code.startswith("SQLITE_") else type(getattr(cause, "__cause__", None) or cause).__name__
        if code.startswith(_UNUSABLE):
            raise UnusableDatabaseError(name) from error
        at_no_statement = isinstance(error, InterfaceError | OperationalError) and error.statement is None
        if code.startswith(_LOST) or at_no_statement or (wrapper and wrapper.connection_invalidated):
            raise OutOfReachError(name) from error
        raise
