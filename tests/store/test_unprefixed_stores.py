"""Stores of releases without a table prefix: renamed as a whole, and distinguished from tables of other programs."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn
from uuid import UUID

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Connection, delete, func, inspect, select

from graphql_mfa.store import migrations
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import Base, OutboxRow, RecoveryCodeRow, SessionRow, UsedRefreshTokenRow, UserRow
from graphql_mfa.store.outages import NotMigratedError
from tests.conftest import KEY, on_each_engine, postgresql_only
from tests.postgresql import PostgresqlServer
from tests.store import rows, unprefixed

pytestmark = on_each_engine

USER = UUID(int=1)
THEN = "2026-01-01 00:00:00.000000"
ROWS = (
    "users (id, username, username_key, password_hash, created_at, otp_failures)"
    f" VALUES ('{{user}}', 'Alice', 'alice', '', '{THEN}', 3)",
    "sessions (id, user_id, created_at, authenticated_at, factor, ends_at, expires_at, generation, refreshed_at,"
    f" key_id, refresh_digest) VALUES ('{{user}}', '{{user}}', '{THEN}', '{THEN}', 'TOTP', '{THEN}', '{THEN}', 7,"
    f" '{THEN}', 'key1', 'digest')",
    "used_refresh_tokens (digest, session_id, generation) VALUES ('used', '{user}', 6)",
    "recovery_codes (user_id, digest) VALUES ('{user}', 'one'), ('{user}', 'two')",
)
MESSAGE = (
    "outbox (sink, event_id, kind, at, user_id, since, attempts, due_at)"
    f" VALUES ('hook', '{{user}}', 'SIGNED_IN', '{THEN}', '{{user}}', '{THEN}', 0, '{THEN}')"
)


def add_rows(connection: Connection, revision: str) -> None:
    user = USER.hex if connection.dialect.name == "sqlite" else USER
    for row in (*ROWS, *([MESSAGE] if revision == "0003" else [])):
        connection.exec_driver_sql(f"INSERT INTO {row.format(user=user)}")


def old_store(revision: str) -> Callable[[Connection], None]:
    """A store of that revision, with rows."""

    def make(connection: Connection) -> None:
        unprefixed.upgrade(connection, revision)
        add_rows(connection, revision)

    return make


@pytest.fixture
async def old(fresh: Database) -> Database:
    """A store of the last release without the prefix."""
    await fresh.write(old_store("0003"))
    return fresh


def everything(connection: Connection) -> tuple[Any, Any]:
    """All tables, with their rows."""
    tables = unprefixed.tables(connection)
    return tables, unprefixed.rows(connection, list(tables))


@pytest.mark.parametrize("revision", unprefixed.REVISIONS)
async def test_a_renamed_store_equals_a_fresh_one(fresh: Database, database: Database, revision: str) -> None:
    def sequences(connection: Connection) -> list[str]:
        return [] if connection.dialect.name == "sqlite" else inspect(connection).get_sequence_names()

    await fresh.write(old_store(revision))
    await fresh.migrate()

    moved = await fresh.read(unprefixed.tables)
    assert moved.pop("alembic_version")
    assert moved == await database.read(unprefixed.tables)
    assert await fresh.read(sequences) == await database.read(sequences)


@pytest.mark.parametrize("revision", unprefixed.REVISIONS)
async def test_a_renamed_store_keeps_its_rows_and_references(fresh: Database, revision: str) -> None:
    counted = (UserRow, SessionRow, UsedRefreshTokenRow, RecoveryCodeRow)

    def counts(connection: Connection) -> list[int | None]:
        return [connection.scalar(select(func.count()).select_from(model)) for model in counted]

    await fresh.write(old_store(revision))
    await fresh.migrate()

    user = await fresh.read(lambda connection: connection.execute(select(UserRow.__table__)).mappings().one())
    assert (user["id"], user["username"], user["otp_failures"]) == (USER, "Alice", 3)
    assert await fresh.read(counts) == [1, 1, 1, 2]
    await fresh.write(lambda connection: connection.execute(delete(UserRow)))
    assert await fresh.read(counts) == [0, 0, 0, 0]


async def test_messages_after_a_rename_sort_after_earlier_ones(old: Database) -> None:
    await old.migrate()
    await old.write(rows.add_message)
    numbers = await old.read(lambda connection: connection.scalars(select(OutboxRow.number)).all())
    assert sorted(numbers) == [1, 2]


@postgresql_only
async def test_a_renamed_store_keeps_its_grants(old: Database) -> None:
    def grant(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE ROLE reader")
        connection.exec_driver_sql("GRANT SELECT ON users, outbox TO reader")
        connection.exec_driver_sql("GRANT USAGE ON SEQUENCE outbox_number_seq TO reader")

    def granted(connection: Connection) -> list[bool]:
        privileges = [f"has_table_privilege('reader', 'mfa_{table}', 'SELECT')" for table in ("users", "outbox")]
        privileges += ["has_sequence_privilege('reader', 'mfa_outbox_number_seq', 'USAGE')"]
        privileges += ["has_table_privilege('reader', 'mfa_sessions', 'SELECT')"]
        return [bool(connection.exec_driver_sql(f"SELECT {privilege}").scalar()) for privilege in privileges]

    await old.write(grant)
    await old.migrate()
    assert await old.read(granted) == [True, True, True, False]


@postgresql_only
async def test_a_partitioned_table_is_renamed(old: Database) -> None:
    """As docs/operations.md of those releases proposed for the events."""

    def partition(connection: Connection) -> None:
        for statement in (
            "ALTER TABLE security_events RENAME TO before",
            "CREATE TABLE security_events (LIKE before, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
            "CREATE TABLE security_events_other PARTITION OF security_events DEFAULT",
            "DROP TABLE before",
            "CREATE INDEX ix_security_events_user_id_id ON security_events (user_id, id)",
        ):
            connection.exec_driver_sql(statement)

    def names(connection: Connection) -> set[str | None]:
        tables = unprefixed.tables(connection)
        return {*tables, *(index["name"] for index in inspect(connection).get_indexes("mfa_security_events"))}

    await old.write(partition)
    await old.migrate()
    found = await old.read(names)
    assert {"mfa_security_events", "security_events_other", "ix_mfa_security_events_user_id_id"} <= found
    assert "security_events" not in found


async def test_an_earlier_release_fails_on_a_renamed_store_and_changes_nothing(old: Database) -> None:
    await old.migrate()
    before = await old.read(everything)

    with pytest.raises(CommandError):
        await old.write(lambda connection: unprefixed.upgrade(connection, "0003"))

    assert await old.read(everything) == before
    found = await old.read(lambda connection: connection.exec_driver_sql("SELECT * FROM alembic_version").scalar_one())
    assert found < "0001", "it takes the store for one that is not migrated"


async def test_tables_are_renamed_once(old: Database) -> None:
    await old.migrate()
    before = await old.read(everything)
    await old.migrate()
    assert await old.read(everything) == before


async def test_several_processes_can_rename_the_tables_at_once(old: Database, fresh_url: str) -> None:
    environment = os.environ | {"GRAPHQL_MFA_DATABASE_URL": fresh_url, "GRAPHQL_MFA_SECRET_KEYS": KEY}
    migrate = [sys.executable, "-m", "graphql_mfa", "migrate"]
    processes = [
        await asyncio.create_subprocess_exec(*migrate, env=environment, stdout=asyncio.subprocess.PIPE)
        for _ in range(4)
    ]
    first, *others = sorted([(await process.communicate())[0] for process in processes])
    assert first.startswith(b"Migrated ")
    assert [b" is up to date, " in line for line in others] == [True] * 3
    assert await old.require_migrated()
    assert await old.read(lambda connection: connection.scalar(select(UserRow.username))) == "Alice"


async def test_an_interrupted_rename_leaves_the_store_unchanged(old: Database, fresh_url: str) -> None:
    before = await old.read(everything)
    program = (
        "import asyncio, os, signal, sys\nfrom alembic import command\n"
        "from graphql_mfa.store.database import Database\n"
        "command.stamp = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(Database(sys.argv[1]).migrate())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, fresh_url)
    assert await process.wait() == -signal.SIGKILL
    assert await old.read(everything) == before

    await old.migrate()
    assert await old.read(lambda connection: connection.scalar(select(UserRow.username))) == "Alice"


async def test_a_failed_rename_leaves_the_store_unchanged(old: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise LookupError

    before = await old.read(everything)
    with monkeypatch.context() as patch:
        patch.setattr(command, "stamp", fail)
        with pytest.raises(LookupError):
            await old.migrate()
    assert await old.read(everything) == before


def host(version: str) -> Callable[[Connection], None]:
    """A program with a table of accounts and Alembic's history of its own."""

    def make(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE users (id INTEGER PRIMARY KEY, username VARCHAR(20))")
        connection.exec_driver_sql("INSERT INTO users VALUES (1, 'carol')")
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{version}')")

    return make


def old_store_but(*changes: str) -> Callable[[Connection], None]:
    """A database that has almost all tables of an earlier store."""

    def make(connection: Connection) -> None:
        old_store("0003")(connection)
        for change in changes:
            connection.exec_driver_sql(change)

    return make


@pytest.mark.parametrize(
    "make",
    [
        *(pytest.param(host(version), id=f"users and {version}") for version in ("0003", "0000", "1975ea83b712", "ff")),
        pytest.param(old_store_but("UPDATE alembic_version SET version_num = '1975ea83b712'"), id="another's version"),
        pytest.param(old_store_but("UPDATE alembic_version SET version_num = '0002'"), id="another revision"),
        pytest.param(old_store_but("INSERT INTO alembic_version VALUES ('ff')"), id="two versions"),
        pytest.param(old_store_but("DELETE FROM alembic_version"), id="no version"),
        pytest.param(old_store_but("DROP TABLE alembic_version"), id="no table of versions"),
        pytest.param(old_store_but("ALTER TABLE users ADD COLUMN phone VARCHAR"), id="one more column"),
        pytest.param(old_store_but("ALTER TABLE outbox RENAME COLUMN sink TO target"), id="another column"),
        pytest.param(old_store_but("DROP TABLE known_addresses"), id="a table less"),
    ],
)
async def test_tables_of_another_program_are_not_renamed(fresh: Database, make: Callable[[Connection], None]) -> None:
    await fresh.write(make)
    tables, contents = await fresh.read(everything)

    with pytest.raises(NotMigratedError):
        await fresh.require_migrated()
    await fresh.migrate()

    assert await fresh.require_migrated()
    assert await fresh.read(lambda connection: connection.scalar(select(func.count()).select_from(UserRow))) == 0
    after, rows_after = await fresh.read(everything)
    assert {name: after[name] for name in tables} == tables
    assert {name: rows_after[name] for name in contents} == contents
    assert after.keys() - tables.keys() == {*Base.metadata.tables, migrations.VERSION_TABLE}


@postgresql_only
async def test_a_store_is_moved_into_the_configured_schema(postgresql: PostgresqlServer) -> None:
    url = postgresql.empty_database()
    before, after = Database(url), Database(url, schema="sign_in")
    try:
        await before.write(old_store("0003"))
        await after.migrate()
        assert await after.read(lambda connection: connection.scalar(select(UserRow.username))) == "Alice"
        assert (await after.read(unprefixed.tables)).keys() == {"alembic_version"}
        expected = {*Base.metadata.tables, migrations.VERSION_TABLE}
        assert (await after.read(lambda connection: unprefixed.tables(connection, "sign_in"))).keys() == expected
        await after.write(rows.add_message)
    finally:
        await before.close()
        await after.close()
