"""Unavailable and unusable databases are distinguished from invalid statements."""

import asyncio
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.util import await_only

from graphql_mfa.store import sqlite
from graphql_mfa.store.database import Database
from graphql_mfa.store.outages import UnavailableError, UnusableDatabaseError
from tests.conftest import connections_in_use, on_each_engine, postgresql_only, require_program, sqlite_only
from tests.postgresql import PostgresqlServer, program, running_server
from tests.store import rows

pytestmark = on_each_engine


async def failure_of(database: Database, *statements: str) -> Exception:
    """The error that a transaction of these statements raises."""

    def transaction(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    with pytest.raises((SQLAlchemyError, UnavailableError)) as caught:
        await database.write(transaction)
    return caught.value


def wait_in_transaction(may_end: asyncio.Event) -> None:
    """Wait in the event loop or, where the transaction has a thread, in that."""
    if threading.current_thread() is threading.main_thread():
        await_only(may_end.wait())
    while not may_end.is_set():
        time.sleep(0)


async def failure_at(url: str) -> Exception:
    """The error that a query of that database raises."""
    database = Database(url)
    try:
        with pytest.raises(UnavailableError) as caught:
            await database.require_migrated()
        return caught.value
    finally:
        await database.close()


async def test_an_invalid_statement_is_not_an_outage(database: Database) -> None:
    assert not isinstance(await failure_of(database, "SELECT * FROM nowhere"), UnavailableError)
    await database.write(rows.add_user)
    assert not isinstance(await failure_of(database, "UPDATE mfa_users SET username = NULL"), UnavailableError)


@pytest.mark.parametrize("begin", [b"SQLite format 3\0", b""], ids=["its header alone", "nothing of one"])
async def test_a_file_that_is_not_a_database_is_unusable(tmp_path: Path, begin: bytes) -> None:
    (tmp_path / "test.db").write_bytes(begin + b"x" * 5_000)
    failure = await failure_at(f"sqlite+aiosqlite:///{tmp_path}/test.db")
    assert isinstance(failure, UnusableDatabaseError)
    assert str(failure) == (
        "The database can't be used: file is not a database; check the file that the database URL names, and its owner "
        "and mode."
    )


async def test_a_file_in_a_missing_folder_is_unusable(tmp_path: Path) -> None:
    failure = await failure_at(f"sqlite+aiosqlite:///{tmp_path}/no such folder/test.db")
    assert isinstance(failure, UnusableDatabaseError)


@sqlite_only
async def test_a_file_locked_by_another_process_is_unavailable(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0)
    database = Database(database_url)
    other = sqlite3.connect(make_url(database_url).database or "", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert (
            str(await failure_of(database, "SELECT 1"))
            == "The database is unavailable: database is locked at BEGIN IMMEDIATE."
        )
        other.execute("ROLLBACK")
        await database.write(rows.add_user)
    finally:
        other.close()
        await database.close()


@sqlite_only
async def test_a_write_that_waits_too_long_for_another_is_unavailable(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = asyncio.Event()
    first = asyncio.create_task(any_database.write(lambda _: wait_in_transaction(may_end)))
    while not connections_in_use(any_database):  # noqa: ASYNC110 - the pool has no event for it
        await asyncio.sleep(0)
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0)
    assert str(await failure_of(any_database, "SELECT 1")) == "The database is unavailable: no answer in time."
    may_end.set()
    await first
    await any_database.write(rows.add_user)


async def test_a_locked_version_check_does_not_end_a_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def locked() -> NoReturn:
        raise UnavailableError("SQLITE_BUSY")

    database = Database(f"sqlite+aiosqlite:///{tmp_path}/fresh.db")
    try:
        with monkeypatch.context() as patched:
            patched.setattr(database, "require_migrated", locked)
            await database.migrate()
        assert await database.require_migrated()
    finally:
        await database.close()


async def test_an_unreachable_server_is_unavailable(tmp_path: Path) -> None:
    failure = await failure_at(f"postgresql+asyncpg://tests:hunter2@/nothing?host={tmp_path}")
    assert not isinstance(failure, UnusableDatabaseError)
    assert str(failure) == "The database is unavailable: No such file or directory."


@postgresql_only
async def test_a_statement_that_takes_too_long_is_an_outage(database: Database) -> None:
    failure = await failure_of(database, "SET LOCAL statement_timeout = '1ms'", "SELECT pg_sleep(60)")
    assert str(failure) == ("The database is unavailable: canceling statement due to statement timeout at SELECT.")


@postgresql_only
async def test_a_connection_closed_by_the_server_is_an_outage(database: Database) -> None:
    failure = await failure_of(database, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert isinstance(failure, UnavailableError)
    await database.write(rows.add_user)


@pytest.fixture
def server_that_wants_passwords() -> Iterator[PostgresqlServer]:
    """A server where the role `careful` needs a password."""
    require_program("PostgreSQL's server", program("initdb"))
    with tempfile.NamedTemporaryFile("w") as rules:
        rules.write("local all careful scram-sha-256\nlocal all all trust\n")
        rules.flush()
        Path(rules.name).chmod(0o644)
        with running_server(f"hba_file={rules.name}") as server:
            server.execute("template1", "CREATE ROLE careful LOGIN PASSWORD 'right'")
            yield server


@postgresql_only
async def test_a_wrong_password_is_refused_and_not_repeated(server_that_wants_passwords: PostgresqlServer) -> None:
    url = server_that_wants_passwords.url("template1")
    failure = await failure_at(url.replace("tests@", "careful:hunter2@"))
    assert isinstance(failure, UnusableDatabaseError)
    assert str(failure) == (
        'The database can\'t be used: password authentication failed for user "careful"; check user and password in '
        "the database URL, and the server's pg_hba.conf."
    )


@postgresql_only
@pytest.mark.parametrize(
    ("user", "name", "message"),
    [
        ("tests", "nowhere", 'database "nowhere" does not exist; create it, or correct the database URL.'),
        ("stranger", "template1", 'role "stranger" does not exist; check user and password in the database URL'),
    ],
)
async def test_a_server_that_refuses_the_connection_is_unusable(
    postgresql: PostgresqlServer, user: str, name: str, message: str
) -> None:
    url = postgresql.url(name).replace("tests@", f"{user}:hunter2@")
    failure = await failure_at(url)
    assert isinstance(failure, UnusableDatabaseError)
    assert str(failure).startswith(f"The database can't be used: {message}")
