"""A host's models and migrations in the database that has our tables too."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, ForeignKey, Integer, MetaData, Table, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

import graphql_mfa
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import UserRow
from tests.conftest import on_each_engine, postgresql_only
from tests.store import rows

pytestmark = on_each_engine

metadata = MetaData()
notes = Table(
    "notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner_id", ForeignKey(graphql_mfa.metadata.tables["mfa_users"].c.id, ondelete="CASCADE"), nullable=False),
)
later = Table("later", metadata, Column("id", Integer, primary_key=True))


def proposed(connection: Connection, models: MetaData) -> list[tuple[str, str]]:
    """The operations that autogenerate would write into a migration of the host."""
    context = MigrationContext.configure(connection, opts={"include_object": graphql_mfa.include_object})
    return [(change[0], change[1].name) for change in compare_metadata(context, models)]


@pytest.fixture
async def shared(database: Database) -> AsyncIterator[Database]:
    """A store beside the first of the host's tables."""
    await database.write(lambda connection: metadata.create_all(connection, [notes]))
    yield database
    await database.write(metadata.drop_all)


async def test_autogenerate_of_a_host_proposes_nothing_about_our_tables(shared: Database) -> None:
    assert await shared.read(lambda connection: proposed(connection, metadata)) == [("add_table", "later")]


@postgresql_only
async def test_a_host_can_reference_accounts_in_a_separate_schema(fresh_url: str) -> None:
    models = MetaData()
    users = graphql_mfa.metadata.tables["mfa_users"].to_metadata(models, schema="sign_in")
    drafts = Table("drafts", models, Column("owner_id", ForeignKey(users.c.id, ondelete="CASCADE")))
    database = Database(fresh_url, schema="sign_in")
    await database.migrate()
    engine = create_async_engine(fresh_url)
    async with engine.begin() as connection:
        assert await connection.run_sync(proposed, models) == [("add_table", "drafts")]
        await connection.run_sync(drafts.create)
        assert await connection.run_sync(proposed, models) == []
    await engine.dispose()
    await database.close()


async def test_rows_of_a_host_can_reference_accounts_and_are_deleted_with_them(shared: Database) -> None:
    def owners(connection: Connection) -> list[UUID]:
        return list(connection.scalars(select(notes.c.owner_id)))

    alice = await shared.write(rows.add_user)
    await shared.write(lambda connection: connection.execute(insert(notes).values(owner_id=alice)))
    assert await shared.read(owners) == [alice]
    with pytest.raises(IntegrityError):
        await shared.write(lambda connection: connection.execute(insert(notes).values(owner_id=uuid4())))
    await shared.write(lambda connection: connection.execute(delete(UserRow)))
    assert await shared.read(owners) == []
