"""The schema's versions."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text

from graphql_mfa.store import migrations
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import Base, TotpDevice


async def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))

    assert await database.read(differences) == []


def test_the_last_version_is_the_one_that_the_code_migrates_to() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


@asynccontextmanager
async def opened(file: Path) -> AsyncIterator[Database]:
    """A store in that file."""
    database = Database(f"sqlite+aiosqlite:///{file}")
    try:
        yield database
    finally:
        await database.close()


async def test_a_fresh_database_is_not_migrated_until_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path / "fresh.db") as database:
        assert not await database.migrated()
        await database.migrate()
        assert await database.migrated()


async def test_a_fresh_database_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    async with opened(tmp_path / "fresh.db") as database:
        await database.migrate()
        files = {entry.name: oct(entry.stat().st_mode & 0o777) for entry in os.scandir(tmp_path)}
    assert files == dict.fromkeys(("fresh.db", "fresh.db-shm", "fresh.db-wal"), "0o600")


async def test_migrating_again_changes_nothing(database: Database) -> None:
    before = await database.read(_tables)
    await database.migrate()
    assert await database.read(_tables) == before


async def test_many_can_migrate_a_fresh_database_at_once(tmp_path: Path) -> None:
    async def migrate() -> list[str]:
        async with opened(tmp_path / "fresh.db") as database:
            await database.migrate()
            return await database.read(_tables)

    tables = sorted([*Base.metadata.tables, "alembic_version"])
    assert await asyncio.gather(*(migrate() for _ in range(8)), return_exceptions=True) == [tables] * 8


async def test_a_database_that_is_out_of_reach_is_not_migrated(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    async with opened(tmp_path / "no such folder" / "test.db") as database:
        assert not await database.migrated()
    # After a connection that failed, the driver's thread reports to the event loop once more.
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)


def _tables(connection: Connection) -> list[str]:
    return sorted(inspect(connection).get_table_names())


async def test_a_database_of_the_first_version_keeps_its_devices_and_learns_which_key_sealed_them(
    tmp_path: Path,
) -> None:
    def first_version(connection: Connection) -> None:
        migrations.upgrade(connection, "0001")
        user = {"id": "1" * 32, "name": "alice", "at": "2026-01-01 00:00:00"}
        connection.execute(
            text(
                "INSERT INTO users (id, username, username_key, password_hash, created_at, otp_failures) "
                "VALUES (:id, :name, :name, '', :at, 0)"
            ),
            user,
        )
        connection.execute(
            text("INSERT INTO totp_devices (id, user_id, sealed_secret, created_at) VALUES (:id, :id, :secret, :at)"),
            user | {"secret": b"key1 and the rest"},
        )

    async with opened(tmp_path / "old.db") as database:
        await database.write(first_version)
        await database.migrate()
        row = await database.read(lambda connection: connection.execute(select(TotpDevice)).one())
    assert (row.key_id, row.sealed_secret) == (b"key1", b"key1 and the rest")
