"""Errors of the database itself, told apart from a statement that is wrong."""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# Names of SQLite's results, and prefixes of PostgreSQL's SQLSTATEs, with the longer names of either.
_LOST = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_IOERR", "SQLITE_FULL"),
    # A connection; resources; a server that stops or starts; a statement, a lock, a transaction that took too long.
    *("08", "53", "57P0", "57014", "55P03", "25P0"),
)
_UNUSABLE = {
    **dict.fromkeys(
        ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM"),
        "check the file that the database URL names, and its owner and mode",
    ),
    "28": "check user and password in the database URL, and the server's pg_hba.conf",
    "3D000": "create it, or correct the database URL",
    "3F000": "create the schema, or grant the role USAGE on it",
    "42501": "grant the role this right, or connect as the role that owns the tables",
}
_LOCKING = " FOR UPDATE"  # needs the right to UPDATE
_VERB = re.compile(r"\s*([A-Z]+(?: [A-Z]+)*)\b")
# What asyncpg raises, as a plain ConnectionError, when a server answers the request for TLS with no.
_NO_TLS = "rejected SSL upgrade"


class UnavailableError(Exception):
    """The database can't be reached, or did not answer in time."""

    summary = "The database is unavailable."
    """For /readyz, which anyone may read: no name of a host, a role or a table."""

    def __init__(self, cause: str) -> None:
        """cause: a phrase for the operator, without secrets."""
        super().__init__(f"The database is unavailable: {cause}.")


class UnusableDatabaseError(UnavailableError, ValueError):
    """Waiting does not mend it: it is no database, or it refuses the role, or what the role does."""

    summary = "The database can't be used; the log says why."

    def __init__(self, cause: str) -> None:
        """cause: as above."""
        Exception.__init__(self, f"The database can't be used: {cause}.")


class NotMigratedError(UnavailableError):
    """The store is missing, or older than this release needs."""

    summary = "The database is not migrated: run `graphql-mfa migrate`."

    def __init__(self, found: str) -> None:
        """found: a phrase about the store's version."""
        Exception.__init__(self, f"The database is not migrated, {found}: run `graphql-mfa migrate`.")


class UnsupportedDatabaseError(ValueError):
    """A URL or an engine that the store can't keep its promises on."""


@contextmanager
def translate_connection_errors() -> Iterator[None]:
    """Raise UnavailableError for errors that are not about the statements that run inside."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise UnusableDatabaseError(
            f"the server's certificate is refused, {error.verify_message.rstrip('.')}"
        ) from error
    except (OSError, PoolTimeoutError) as error:
        if _NO_TLS in str(error):
            raise UnusableDatabaseError("the server offers no TLS, which `ssl` in the database URL requires") from error
        raise UnavailableError(_cause(error)) from error
    except Exception as error:
        # SQLAlchemy 2.0 doesn't wrap what asyncpg raises when it can't connect.
        wrapper = error if isinstance(error, DBAPIError) else None
        raised = wrapper.orig if wrapper else error
        code = getattr(raised, "sqlite_errorname", None) or getattr(raised, "sqlstate", None) or ""
        if advice := next((advice for prefix, advice in _UNUSABLE.items() if code.startswith(prefix)), None):
            raise UnusableDatabaseError(f"{refusal(error)}; {advice}") from error
        at_no_statement = isinstance(error, InterfaceError | OperationalError) and error.statement is None
        if code.startswith(_LOST) or at_no_statement or (wrapper and wrapper.connection_invalidated):
            raise UnavailableError(refusal(error) if code else "the connection failed") from error
        raise


def refusal(error: Exception) -> str:
    """The database's own message in one line, and at which kind of statement. Its details may hold values."""
    wrapper = error if isinstance(error, DBAPIError) else None
    raised = (wrapper and wrapper.orig) or error
    # The adapter of an asynchronous driver raises its own, from the driver's.
    driver = raised.__cause__ or raised
    text = str(getattr(driver, "message", None) or driver).partition("\n")[0].rstrip(".")
    statement = (wrapper and wrapper.statement) or ""
    verb = _VERB.match(statement)
    return f"{text} at {verb[1]}{_LOCKING * (_LOCKING in statement)}" if verb else text


def _cause(error: Exception) -> str:
    if isinstance(error, PoolTimeoutError):
        return "no connection was free in time"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "its host name can't be resolved"
    # Not `strerror`, which has the address.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "the connection failed"
