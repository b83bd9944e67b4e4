"""Errors of the database itself, as opposed to those of a statement."""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# Names of SQLite's result codes, and prefixes of PostgreSQL's SQLSTATEs.
_LOST = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_IOERR", "SQLITE_FULL"),
    # Connection; resources; shutdown and startup; timeouts of a statement, a lock, a transaction.
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
_LOCKING = " FOR UPDATE"  # requires the right to UPDATE
_VERB = re.compile(r"\s*([A-Z]+(?: [A-Z]+)*)\b")
_NO_TLS = "rejected SSL upgrade"  # the text of asyncpg's plain ConnectionError
# OpenSSL's X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, _SELF_SIGNED_CERT_IN_CHAIN, _UNABLE_TO_GET_ISSUER_CERT_LOCALLY.
_UNKNOWN_ISSUERS = (18, 19, 20)


class UnavailableError(Exception):
    """The database is unreachable, or did not answer in time."""

    summary = "The database is unavailable."
    """The text for /readyz, which is public: it names no hosts, roles or tables."""
    message = "The database is unavailable: {}."

    def __init__(self, cause: str) -> None:
        """cause: a phrase for operators, without secrets, that completes the message."""
        super().__init__(self.message.format(cause))


class UnusableDatabaseError(UnavailableError, ValueError):
    """An error that waiting does not fix: not a database, refused credentials, or a missing right."""

    summary = "The database can't be used; the log says why."
    message = "The database can't be used: {}."


class NotMigratedError(UnavailableError):
    """The tables are missing, or older than this release needs."""

    summary = "The database is not migrated: run `graphql-mfa migrate`."
    message = "The database is not migrated, {}: run `graphql-mfa migrate`."


class UnsupportedDatabaseError(ValueError):
    """A URL or an engine that is invalid, or on which transactions would not be safe."""


@contextmanager
def translate_connection_errors() -> Iterator[None]:
    """Raise UnavailableError for errors of the database, as opposed to those of the statements inside."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        unknown = error.verify_code in _UNKNOWN_ISSUERS
        hint = "; name its authority with sslrootcert in the database URL" if unknown else ""
        raise UnusableDatabaseError(
            f"the server's certificate is refused, {error.verify_message.rstrip('.')}{hint}"
        ) from error
    except (OSError, PoolTimeoutError) as error:
        if _NO_TLS in str(error):
            raise UnusableDatabaseError("the server offers no TLS, which `ssl` in the database URL requires") from error
        raise UnavailableError(_cause(error)) from error
    except Exception as error:
        # SQLAlchemy 2.0 doesn't wrap asyncpg's errors of connecting.
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
    """The first line of the database's message, and the kind of statement. Further lines can contain values."""
    wrapper = error if isinstance(error, DBAPIError) else None
    raised = (wrapper and wrapper.orig) or error
    # SQLAlchemy's adapters of asynchronous drivers raise wrappers too.
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
    # Not `error.strerror`, which contains the address.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "the connection failed"
