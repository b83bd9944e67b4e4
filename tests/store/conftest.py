"""A store without an application around it."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from graphql_mfa.store.database import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def fresh(fresh_url: str) -> AsyncIterator[Database]:
    """A store without tables."""
    database = Database(fresh_url)
    yield database
    await database.close()


@pytest.fixture
async def other_process(database_url: str) -> AsyncIterator[Database]:
    """The same database, over connections of its own, as another process has them."""
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture(params=["our engine", "a host's engine"])
async def any_database(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Database]:
    """A store on an engine of its own or on a host's, which has one connection for writing."""
    if request.param == "our engine":
        database = Database(database_url, pool_size=1)
        yield database
        await database.close()
        return
    # With its last option SQLAlchemy rolls nothing back in AUTOCOMMIT.
    engine = create_async_engine(database_url, pool_size=1, max_overflow=0, skip_autocommit_rollback=True)
    database = Database(engine)
    yield database
    await database.close()
    await engine.dispose()
