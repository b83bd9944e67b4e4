"""A PostgreSQL schema for our tables, in a database with tables of other programs."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from graphql_mfa.flows.purging import purge
from graphql_mfa.store import migrations
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import Base
from graphql_mfa.store.outages import NotMigratedError, UnsupportedDatabaseError
from tests.conftest import Connect, postgresql_only, sqlite_only
from tests.postgresql import PostgresqlServer
from tests.store import unprefixed

OURS = {*Base.metadata.tables, migrations.VERSION_TABLE}


def add_tables_of_others(connection: Connection) -> None:
    """Of our names, so that a statement that forgets the schema would find them."""
    for name in OURS:
        connection.exec_driver_sql(f"CREATE TABLE {name} (theirs INTEGER)")


def names(schema: str) -> Callable[[Connection], set[str]]:
    return lambda connection: set(inspect(connection).get_table_names(schema))


@postgresql_only
async def test_all_tables_are_in_the_configured_schema(
    postgresql: PostgresqlServer,
    run_app: Callable[..., AbstractAsyncContextManager[FastAPI]],
    connect: Connect,
) -> None:
    url = postgresql.empty_database()
    database = Database(url, schema="sign_in")
    try:
        await database.write(add_tables_of_others)
        before = await database.read(unprefixed.tables)
        with pytest.raises(NotMigratedError):
            await database.require_migrated()
        await database.migrate()
        assert await database.require_migrated()
        assert await database.read(names("sign_in")) == OURS
        assert await database.read(unprefixed.tables) == before
    finally:
        await database.close()

    async with run_app(database_url=url, database_schema="sign_in") as app:
        api = connect(app)
        member = await api.member()
        assert await api.me(member.access_token) is not None
        await api.refresh(member.refresh_token)
        services = app.state.services
        await purge(services.database, services.settings, services.clock())
        assert (await api.http.get("/readyz")).status_code == 200


@postgresql_only
async def test_several_processes_can_create_the_schema_at_once(postgresql: PostgresqlServer) -> None:
    url = postgresql.empty_database()
    databases = [Database(url, schema="sign_in") for _ in range(4)]
    await asyncio.gather(*(database.migrate() for database in databases))
    assert [await database.require_migrated() for database in databases] == [migrations.HEAD] * 4
    for database in databases:
        await database.close()


@postgresql_only
async def test_a_role_that_can_not_create_schemas_migrates_in_an_existing_one(postgresql: PostgresqlServer) -> None:
    url = postgresql.empty_database()
    name = url.split("?")[0].rsplit("/", 1)[1]
    postgresql.execute(name, "CREATE ROLE migrator LOGIN")
    postgresql.execute(name, "CREATE SCHEMA sign_in AUTHORIZATION migrator")
    database = Database(url.replace("tests@", "migrator@"), schema="sign_in")
    await database.migrate()
    assert await database.read(names("sign_in")) == OURS
    await database.close()


@postgresql_only
async def test_a_schema_works_with_a_hosts_engine(postgresql: PostgresqlServer) -> None:
    engine = create_async_engine(postgresql.empty_database())
    database = Database(engine, schema="sign_in")
    await database.migrate()
    assert await database.require_migrated()
    assert await database.read(names("public")) == set()
    await engine.dispose()


@sqlite_only
async def test_a_schema_is_refused_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/test.db"
    engine = create_async_engine(url)
    for where in (url, engine):
        with pytest.raises(UnsupportedDatabaseError, match="GRAPHQL_MFA_DATABASE_SCHEMA"):
            Database(where, schema="sign_in")
    await engine.dispose()
