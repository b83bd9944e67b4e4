"""Running transactions.

A transaction is a plain function of a connection. It can't await, so nothing slow happens while it holds locks. It
commits when it returns and rolls back when it raises, so expected failures are returned, and their counters commit.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import URL, Connection, NullPool, create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from graphql_mfa.core.keys import KeyRing
from graphql_mfa.metrics import NO_METRICS, Metrics
from graphql_mfa.store import keys, migrations
from graphql_mfa.store.outages import (
    NotMigratedError,
    UnavailableError,
    UnsupportedDatabaseError,
    UnusableDatabaseError,
    refusal,
    translate_connection_errors,
)
from graphql_mfa.store.sqlite import IN_MEMORY, Sqlite

if TYPE_CHECKING:
    from graphql_mfa.store.postgresql import Postgresql

T = TypeVar("T")

_SQLITE = "sqlite+aiosqlite"
_DRIVERS = (_SQLITE, "postgresql+asyncpg")

_PATIENCE_SECONDS = 3  # load balancers give up soon, and ending a connection may take a driver two more


class RolledBackError(Exception):
    """Raised by a transaction to roll back without a failure."""


class KeysNotInRingError(UnusableDatabaseError):
    """The database holds secrets that were encrypted with keys which the key ring lacks."""

    def __init__(self, ids: Iterable[bytes]) -> None:
        shown = ", ".join(key_id.hex() for key_id in ids)
        self.summary = f"The database holds secrets that were encrypted with keys which the key ring lacks: {shown}."
        Exception.__init__(self, self.summary)


@dataclass(frozen=True)
class Migration:
    """The versions before and after `Database.migrate`. before: None if there were no tables."""

    before: str | None
    after: str


class Database:
    """Runs transactions on SQLite or PostgreSQL."""

    def __init__(
        self, where: str | AsyncEngine, pool_size: int = 10, metrics: Metrics = NO_METRICS, schema: str | None = None
    ) -> None:
        """where: a URL, or an engine, which `close` leaves open. Raises UnsupportedDatabaseError.

        On PostgreSQL: pool_size: maximum connections of this process. schema: the tables' schema; None is the first one
        of the search path.
        """
        self._file = sqlite_file(where) if isinstance(where, str) else None
        self._backend = _backend_for(self._file or where, pool_size, schema)
        self._metrics = metrics

    @property
    def address(self) -> str:
        """The URL without user, password and options. The path of an SQLite file is absolute."""
        url = self._backend.engine.url
        database = str(self._file.absolute()) if self._file else url.database
        query = {name: url.query[name] for name in ("host", "port") if name in url.query}
        return str(URL.create(url.drivername, host=url.host, port=url.port, database=database, query=query))

    @property
    def embedded(self) -> bool:
        """Whether it is SQLite, which processes migrate at start."""
        return isinstance(self._backend, Sqlite)

    async def check(self) -> None:
        """Raise UnsupportedDatabaseError if transactions on the host's engine would not be safe."""
        if isinstance(self._backend, Sqlite):
            with translate_connection_errors():
                await self._backend.check()

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction, and retry it after serialization failures and deadlocks.

        Like all methods it raises UnavailableError.
        """
        with self._metrics.transaction("write", unless=RolledBackError) as timed, translate_connection_errors():
            return await self._backend.write(timed(transaction))

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run reads in autocommit: each sees what was committed before it."""
        with self._metrics.transaction("read", unless=RolledBackError) as timed, translate_connection_errors():
            return await self._backend.read(timed(query))

    async def migrate(self) -> Migration:
        """Migrate the schema to this version. Safe when several processes do so at once.

        A new SQLite file, and the files that SQLite creates beside it, are readable by the owner only. Raises
        UnusableDatabaseError, for example for a conflicting table or a missing right.
        """
        if self._file:
            self._file.touch(mode=0o600)
        if version := await self._migrated_already():
            return Migration(version, version)
        try:
            with translate_connection_errors():
                return Migration(await self._backend.change_schema(migrations.upgrade), migrations.HEAD)
        except (SQLAlchemyError, UnavailableError) as error:
            # Another process may have migrated meanwhile.
            if version := await self._migrated_already():
                return Migration(version, version)
            if isinstance(error, DBAPIError):
                raise UnusableDatabaseError(f"migrating changed nothing, since {refusal(error)}") from error
            raise

    async def require_migrated(self) -> str:
        """Return the schema's version: this release's, or a later one that only adds to it.

        Raises NotMigratedError if it is older, and UnknownVersionError for other unknown versions.
        """
        try:
            found = await self.read(migrations.version)
        except SQLAlchemyError as error:
            raise NotMigratedError(f"no table {migrations.VERSION_TABLE} was found in it") from error
        if found < migrations.HEAD:
            raise NotMigratedError(f"it is at version {found} and this release needs {migrations.HEAD}")
        return found

    async def _migrated_already(self) -> str | None:
        try:
            return await self.require_migrated()
        except UnavailableError as error:
            # Another process that starts may have locked an SQLite file; changing the schema waits for the lock.
            may_be_locked = self.embedded and not isinstance(error, UnusableDatabaseError)
            if may_be_locked or isinstance(error, NotMigratedError):
                return None
            raise

    async def close(self) -> None:
        await self._backend.close()


async def require_ready(database: Database, ring: KeyRing) -> None:
    """Check that the database answers, that it is migrated, and that the ring has every key that it needs.

    Raises NotMigratedError, KeysNotInRingError, UnusableDatabaseError and UnavailableError.
    """
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await database.require_migrated()
            needed = await database.read(keys.sealing_keys)
    except TimeoutError as error:
        raise UnavailableError("no answer in time") from error
    except SQLAlchemyError as error:
        raise UnusableDatabaseError("its tables are not those of its version") from error
    if missing := [key for key in needed if ring.get(key) is None]:
        raise KeysNotInRingError(missing)


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for PostgreSQL.

    Raises UnsupportedDatabaseError, whose message does not repeat the URL, which may contain a password.
    """
    parsed = _parse(url)
    if parsed.drivername != _SQLITE:
        return None
    if parsed.host:
        raise UnsupportedDatabaseError(
            "A database URL of SQLite has three slashes before the file: sqlite+aiosqlite:///file"
        )
    if not parsed.database or ":memory:" in parsed.database or parsed.query.get("mode") == "memory":
        raise UnsupportedDatabaseError(IN_MEMORY)
    if parsed.query:
        raise UnsupportedDatabaseError("A database URL of SQLite has no options: remove the ? and everything after it.")
    return Path(parsed.database)


def check_url(url: str) -> None:
    """Raise UnsupportedDatabaseError for an invalid URL, without repeating it."""
    if sqlite_file(url) is None:
        from graphql_mfa.store import postgresql

        postgresql.parse_options(_parse(url))


def is_of_another_program(file: Path) -> bool:
    """Whether an SQLite file has tables, but none of ours. Raises UnavailableError."""
    read_only = URL.create("sqlite", database=file.absolute().as_uri(), query={"mode": "ro", "uri": "true"})
    with translate_connection_errors(), create_engine(read_only, poolclass=NullPool).connect() as connection:
        return bool(inspect(connection).get_table_names()) and not migrations.has_store(connection)


def _backend_for(where: Path | str | AsyncEngine, pool_size: int, schema: str | None) -> "Sqlite | Postgresql":
    if isinstance(where, AsyncEngine) and f"{where.dialect.name}+{where.dialect.driver}" not in _DRIVERS:
        raise UnsupportedDatabaseError(f"The engine must be of one of {', '.join(_DRIVERS)}.")
    if isinstance(where, Path) or (isinstance(where, AsyncEngine) and where.dialect.name == "sqlite"):
        if schema:
            raise UnsupportedDatabaseError("GRAPHQL_MFA_DATABASE_SCHEMA is for PostgreSQL: SQLite has no schemas.")
        return Sqlite(where)
    from graphql_mfa.store.postgresql import Postgresql  # SQLite starts faster without it

    return Postgresql(_parse(where) if isinstance(where, str) else where, pool_size, schema)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UnsupportedDatabaseError("The database URL is malformed.") from None
    except ValueError:
        raise UnsupportedDatabaseError(
            "In the database URL, the port is not a number. Write an @ in the user name or the password as %40."
        ) from None
    if parsed.drivername not in _DRIVERS:
        raise UnsupportedDatabaseError(f"The database URL must begin with one of {', '.join(_DRIVERS)}.")
    return parsed
