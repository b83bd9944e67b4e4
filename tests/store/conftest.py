"""A store without an application around it."""

from collections.abc import AsyncIterator

import pytest

from graphql_mfa.store.database import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def other_process(database_url: str) -> AsyncIterator[Database]:
    """The same database, over connections of its own, as another process has them."""
    database = Database(database_url)
    yield database
    await database.close()
