"""The schema's versions."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, insert, inspect, select, text

from graphql_mfa.core.accounts import skeleton_digest
from graphql_mfa.core.keys import KeyRing, new_key
from graphql_mfa.core.security_events import SecurityEventKind, event_id
from graphql_mfa.store import migrations, security_events
from graphql_mfa.store.database import Database, require_ready
from graphql_mfa.store.migrations import UnknownVersionError
from graphql_mfa.store.models import (
    Base,
    KnownAddressRow,
    SecurityEventRow,
    SessionRow,
    TotpDeviceRow,
    UsedRefreshTokenRow,
    UserRow,
)
from graphql_mfa.store.outages import NotMigratedError, UnusableDatabaseError
from graphql_mfa.store.security_events import StoredEvent
from tests.conftest import KEY, on_each_engine, postgresql_only, sqlite_only
from tests.postgresql import PostgresqlServer
from tests.store import rows

pytestmark = on_each_engine


async def test_the_migrations_create_the_tables_of_the_models(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True, "version_table": migrations.VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, Base.metadata))

    assert await database.read(differences) == []


async def test_constraints_keep_the_names_that_released_migrations_gave_them(fresh: Database) -> None:
    def names(connection: Connection) -> list[str | None]:
        inspector = inspect(connection)
        (unique,) = inspector.get_unique_constraints("mfa_sessions")
        (foreign,) = inspector.get_foreign_keys("mfa_sessions")
        return [inspector.get_pk_constraint("mfa_sessions")["name"], unique["name"], foreign["name"]]

    await fresh.migrate()
    assert await fresh.read(names) == [
        "pk_mfa_sessions",
        "uq_mfa_sessions_refresh_digest",
        "fk_mfa_sessions_user_id_mfa_users",
    ]


def test_the_last_version_is_the_one_that_the_code_migrates_to() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """The store there."""
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


async def version_of(url: str) -> str:
    async with opened(url) as database:
        return await database.require_migrated()


async def test_a_fresh_database_is_not_migrated_until_it_is(fresh_url: str) -> None:
    async with opened(fresh_url) as database:
        with pytest.raises(NotMigratedError):
            await database.require_migrated()
        await database.migrate()
        assert await database.require_migrated()


@postgresql_only
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_is_not_utf_8_is_refused(postgresql: PostgresqlServer, encoding: str) -> None:
    name = f"of_{encoding.lower()}"
    postgresql.execute("template1", f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    message = f"its encoding is {encoding}, .* make one with ENCODING 'UTF8' TEMPLATE template0"
    async with opened(postgresql.url(name)) as database:
        with pytest.raises(UnusableDatabaseError, match=message):
            await database.migrate()
        # As left by a release that did not check the encoding.
        await database.write(migrations.upgrade)
        with pytest.raises(UnusableDatabaseError, match=message):
            await require_ready(database, KeyRing.parse(new_key()))


@sqlite_only
async def test_an_sqlite_file_in_utf_16_stores_every_name(tmp_path: Path) -> None:
    file = tmp_path / "test.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA encoding = 'UTF-16le'")
        other.execute("CREATE TABLE of_another_program (id INTEGER)")
    async with opened(f"sqlite+aiosqlite:///{file}") as database:
        await database.migrate()
        await database.write(partial(rows.add_user, username="łukasz 👩‍💻"))
        assert await database.read(lambda connection: connection.scalar(select(UserRow.username))) == "łukasz 👩‍💻"


async def test_a_fresh_database_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    async with opened(f"sqlite+aiosqlite:///{tmp_path}/fresh.db") as database:
        await database.migrate()
        files = {entry.name: oct(entry.stat().st_mode & 0o777) for entry in os.scandir(tmp_path)}
    assert files == dict.fromkeys(("fresh.db", "fresh.db-shm", "fresh.db-wal"), "0o600")


async def test_migrating_again_changes_nothing(database: Database) -> None:
    before = await database.read(_tables)
    await database.migrate()
    assert await database.read(_tables) == before


def test_several_processes_can_migrate_a_fresh_database_at_once(fresh_url: str) -> None:
    environment = os.environ | {"GRAPHQL_MFA_DATABASE_URL": fresh_url, "GRAPHQL_MFA_SECRET_KEYS": KEY}
    command = [sys.executable, "-m", "graphql_mfa", "migrate"]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(4)
    ]
    first, *others = sorted(process.communicate()[0].decode() for process in processes)
    assert first.startswith(f"Created the tables of version {migrations.HEAD} in ")
    assert [line.endswith(f" is up to date, at version {migrations.HEAD}.\n") for line in others] == [True] * 3
    assert asyncio.run(version_of(fresh_url)) == migrations.HEAD


async def test_a_database_of_the_first_version_keeps_its_devices_and_records_their_keys(
    fresh_url: str,
) -> None:
    def first_version(connection: Connection) -> None:
        migrations.upgrade(connection, "0001")
        user = "'11111111111111111111111111111111', "
        for row in (
            "mfa_users (id, username, username_key, password_hash, created_at, otp_failures)"
            f" VALUES ({user} 'alice', 'alice', '', '2026-01-01', 0)",
            f"mfa_totp_devices (id, user_id, sealed_secret, created_at) VALUES ({user} {user} :secret, '2026-01-01')",
        ):
            connection.execute(text(f"INSERT INTO {row}"), {"secret": b"key1 and the rest"})

    sealed = select(TotpDeviceRow.key_id, TotpDeviceRow.sealed_secret)
    async with opened(fresh_url) as database:
        await database.write(first_version)
        await database.migrate()
        row = await database.read(lambda connection: connection.execute(sealed).one())
    assert (row.key_id, row.sealed_secret) == (b"key1", b"key1 and the rest")


async def test_accounts_of_the_fifth_version_get_skeletons_even_if_some_look_alike(fresh_url: str) -> None:
    names = ["coca", "соса", *(f"user{number}x" for number in range(1500))]  # noqa: RUF001

    def fifth_version(connection: Connection) -> None:
        migrations.upgrade(connection, "0005")
        stored = ("id", "username", "username_key", "password_hash", "created_at", "otp_failures")
        table = Table("mfa_users", MetaData(), *(UserRow.__table__.c[name]._copy() for name in stored))
        then = datetime(2026, 1, 1, tzinfo=UTC)
        rows = [(uuid4(), name, name, "", then, 0) for name in names]
        connection.execute(insert(table), [dict(zip(stored, row, strict=True)) for row in rows])

    skeletons = select(UserRow.username, UserRow.username_skeleton)
    async with opened(fresh_url) as database:
        await database.write(fifth_version)
        await database.migrate()
        found = await database.read(lambda connection: connection.execute(skeletons).all())
    assert sorted(tuple(row) for row in found) == sorted((name, skeleton_digest(name)) for name in names)
    assert len({row.username_skeleton for row in found}) == len(names) - 1


async def test_events_of_the_second_version_sort_before_new_ones(fresh_url: str) -> None:
    """Their ids were random, and most of them would stand before every later event."""
    user, then = UUID(int=1), datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)

    def second_version(connection: Connection) -> None:
        migrations.upgrade(connection, "0002")
        stored = ("id", "user_id", "kind", "at")
        table = Table(
            "mfa_security_events", MetaData(), *(SecurityEventRow.__table__.c[name]._copy() for name in stored)
        )
        events = [
            (UUID("ffffffff-ffff-4fff-bfff-ffffffffffff"), then),
            (uuid4(), then - timedelta(hours=1)),
            (uuid4(), then - timedelta(days=1)),
        ]
        rows = [dict(zip(stored, (event, user, "UNLOCKED_BY_OPERATOR", at), strict=True)) for event, at in events]
        connection.execute(insert(table), rows)

    def add_another(connection: Connection) -> None:
        later = then + timedelta(milliseconds=1)
        event = StoredEvent(event_id(later, 0), SecurityEventKind.SIGNED_IN, later, None, None)
        security_events.add(connection, user, [event])

    async with opened(fresh_url) as database:
        await database.write(second_version)
        await database.migrate()
        await database.write(add_another)
        events = await database.read(partial(security_events.newest, user_id=user, rows=10))
    assert [event.kind for event in events] == ["SIGNED_IN", *["UNLOCKED_BY_OPERATOR"] * 3]
    assert [event.at for event in events] == sorted((event.at for event in events), reverse=True)
    assert {event.id.version for event in events} == {7}
    assert events[1].id.int >> 80 == event_id(then, 0).int >> 80


async def test_a_database_of_the_third_version_keeps_the_newest_sessions_and_used_tokens(fresh_url: str) -> None:
    then = datetime(2026, 1, 1, tzinfo=UTC)

    def third_version(connection: Connection) -> None:
        migrations.upgrade(connection, "0003")
        tables = MetaData()
        tables.reflect(connection, only=["mfa_users", "mfa_sessions", "mfa_used_refresh_tokens"])
        users, sessions, used = (tables.tables[f"mfa_{name}"] for name in ("users", "sessions", "used_refresh_tokens"))
        is_sqlite = connection.dialect.name == "sqlite"
        ids = [UUID(int=number).hex if is_sqlite else UUID(int=number) for number in range(1, 103)]
        owner = {"id": ids[0], "username": "alice", "username_key": "alice", "password_hash": "", "otp_failures": 0}
        connection.execute(insert(users).values(owner | {"created_at": then}))
        session = {"authenticated_at": then, "created_at": then, "ends_at": then, "expires_at": then, "key_id": b"key1"}
        session |= {"user_id": ids[0], "factor": "TOTP", "generation": 100}
        connection.execute(
            insert(sessions),
            [
                session
                | {"id": key, "refresh_digest": str(place).encode(), "refreshed_at": then + timedelta(seconds=place)}
                for place, key in enumerate(ids)
            ],
        )
        token = {"session_id": ids[-1]}
        connection.execute(insert(used), [token | {"digest": bytes([n]), "generation": n} for n in range(100)])

    def kept(connection: Connection) -> tuple[set[UUID], list[int]]:
        ids = set(connection.scalars(select(SessionRow.id)))
        generations = select(UsedRefreshTokenRow.generation).order_by(UsedRefreshTokenRow.generation)
        return ids, list(connection.scalars(generations))

    async with opened(fresh_url) as database:
        await database.write(third_version)
        await database.migrate()
        sessions, generations = await database.read(kept)
    assert sessions == {UUID(int=number) for number in range(3, 103)}
    assert generations == list(range(40, 100))


async def test_known_addresses_of_the_third_version_count_as_used_now(fresh: Database) -> None:
    def third_version(connection: Connection) -> None:
        migrations.upgrade(connection, "0003")
        user = "'11111111111111111111111111111111'"
        for row in (
            "mfa_users (id, username, username_key, password_hash, created_at, otp_failures)"
            f" VALUES ({user}, 'alice', 'alice', '', '2026-01-01', 0)",
            f"mfa_known_addresses (user_id, address) VALUES ({user}, '10.0.0.1')",
        ):
            connection.execute(text(f"INSERT INTO {row}"))

    before = datetime.now(UTC)
    await fresh.write(third_version)
    await fresh.migrate()
    used_at = await fresh.read(lambda connection: connection.scalar(select(KnownAddressRow.last_used_at)))
    assert used_at is not None
    assert before <= used_at <= datetime.now(UTC)


@pytest.mark.usefixtures("schema_that_breaks")
@pytest.mark.parametrize("versions", [["9999"], ["abc"], ["0000"], ["00055"], ["0005", "0006"], []])
async def test_an_unknown_version_is_refused(database: Database, versions: list[str]) -> None:
    await database.write(partial(_set_versions, versions=versions))
    before = await database.read(_tables)
    for attempt in (database.migrate, database.require_migrated):
        with pytest.raises(UnknownVersionError, match="which this release does not know"):
            await attempt()
    assert await database.read(_tables) == before


@pytest.mark.usefixtures("schema_that_breaks")
@pytest.mark.parametrize("later", [f"{int(migrations.HEAD) + 1:04}", "0999"])
async def test_a_compatible_later_version_is_used_unchanged(database: Database, later: str) -> None:
    await database.write(partial(_set_versions, versions=[later]))
    assert await database.require_migrated()
    await database.migrate()
    assert await database.read(migrations.version) == later


@pytest.mark.parametrize("version", ["0000", "0003", "9999"])
async def test_the_version_table_of_another_program_is_ignored(fresh: Database, version: str) -> None:
    def others(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text(f"INSERT INTO alembic_version VALUES ('{version}')"))

    await fresh.write(others)
    with pytest.raises(NotMigratedError):
        await fresh.require_migrated()
    await fresh.migrate()
    assert await fresh.read(migrations.version) == migrations.HEAD
    found = await fresh.read(lambda connection: connection.scalars(text("SELECT * FROM alembic_version")).all())
    assert found == [version]


def _set_versions(connection: Connection, versions: list[str]) -> None:
    connection.execute(text("DELETE FROM mfa_version"))
    for version in versions:
        connection.execute(text(f"INSERT INTO mfa_version VALUES ('{version}')"))


def _tables(connection: Connection) -> list[str]:
    return sorted(inspect(connection).get_table_names())
