"""A throw-away PostgreSQL server for the tests of one process."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from graphql_mfa.store.database import Database
from graphql_mfa.store.models import Base

_PLACES = os.pathsep.join([os.environ.get("PATH", ""), *sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True)])
# Durability is off, since no data must survive a crash; autovacuum is off, since new statistics would change plans.
_HASTE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")

_DELETE_ALL = "".join(f"DELETE FROM {table};" for table in reversed(Base.metadata.sorted_tables))

# The input is closed when the parent process ends, for whatever reason.
_SUPERVISE = 'read -r _; "$0" stop --silent --mode=immediate --pgdata="$1/data"; rm -rf "$1"'


def program(name: str) -> str | None:
    """Where PostgreSQL's program of that name is; Debian keeps most of them off the PATH."""
    return shutil.which(name, path=_PLACES)


class PostgresqlServer:
    """A server on a socket in a folder of its own."""

    def __init__(self, folder: Path, portal: BlockingPortal, settings: Sequence[str] = ()) -> None:
        self._folder = folder
        self._settings = settings
        self._portal = portal
        self._databases = 0
        self._shared: _SharedDatabase | None = None
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(folder, self._user.pw_uid, -1)
        self._supervisor = subprocess.Popen(
            ["/bin/sh", "-c", _SUPERVISE, program("pg_ctl") or "pg_ctl", folder],
            cwd=folder,
            user=self._user.pw_uid,
            # Signals that end the tests must not end the server.
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._run("initdb", "--auth=trust", "--username=tests", "--no-sync", "--encoding=UTF8", "--locale=C")
        self.start()

    def start(self) -> None:
        """Serve."""
        place = (f"unix_socket_directories={self._folder}", "listen_addresses=", "max_connections=200")
        options = " ".join(f"-c {setting}" for setting in (*_HASTE, *place, *self._settings))
        self._run("pg_ctl", "start", "--wait", "--silent", f"--options={options}", f"--log={self._folder}/log")

    def stop(self) -> None:
        """Break every connection, and serve no more."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode=immediate")

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.forget_shared_database()
        self._supervisor.communicate()

    def pause(self, signal_: signal.Signals = signal.SIGSTOP) -> None:
        """Suspend the server while its connections stay open; SIGCONT resumes it."""
        for process in (self.process, *_children(self.process)):
            os.kill(process, signal_)

    @property
    def process(self) -> int:
        """The id of its first process, of which all others are children."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, database: str) -> str:
        """Where the database of that name is."""
        return f"postgresql+asyncpg://tests@/{database}?host={self._folder}"

    def empty_database(self) -> str:
        """The URL of a new database without tables."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute("template1", f"CREATE DATABASE {name}")
        return self.url(name)

    def migrated_database(self) -> str:
        """The URL of a new database of this version."""
        url = self.empty_database()
        self._portal.call(_migrate, url)
        return url

    def shared_database(self) -> str:
        """The URL of the database that tests use in turn, emptied: a new one each time would take much longer."""
        if self._shared is None:
            self._shared = self._portal.call(_SharedDatabase.open, self.migrated_database())
        self._portal.call(self._shared.clear)
        return self._shared.url

    def forget_shared_database(self) -> None:
        """The next test gets a new one."""
        if self._shared:
            self._portal.call(self._shared.close)
        self._shared = None

    def execute(self, database: str, statement: str) -> object:
        """Run one statement outside of a transaction; return its first value, if it has any."""
        return self._portal.call(_execute, self.url(database), statement)

    def _run(self, name: str, *arguments: str) -> None:
        command = [program(name) or name, *arguments, f"--pgdata={self._folder}/data"]
        subprocess.run(command, check=True, cwd=self._folder, user=self._user.pw_uid, stdout=subprocess.DEVNULL)


@contextmanager
def running_server(*settings: str) -> Iterator[PostgresqlServer]:
    """A server that is gone afterwards. settings: such as "fsync=on", the last of a name counts."""
    # pytest's own folders can't be entered by the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="graphql-mfa-"))
    try:
        with start_blocking_portal() as portal:
            server = PostgresqlServer(folder, portal, settings)
            try:
                yield server
            finally:
                server.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # it is gone already where there was a server


def _children(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@dataclass
class _SharedDatabase:
    """A database, and the connection that empties it."""

    url: str
    engine: AsyncEngine
    connection: AsyncConnection

    @classmethod
    async def open(cls, url: str) -> "_SharedDatabase":
        engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
        return cls(url, engine, await engine.connect())

    async def clear(self) -> None:
        # One round trip. TRUNCATE takes ten times as long where there are few rows.
        await self.connection.execute(text(f"DO $$ BEGIN {_DELETE_ALL} END $$"))

    async def close(self) -> None:
        await self.connection.close()
        await self.engine.dispose()


async def _migrate(url: str) -> None:
    database = Database(url)
    await database.migrate()
    await database.close()


async def _execute(url: str, statement: str) -> object:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            result = await connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        await engine.dispose()
