"""A store without an application around it."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from graphql_mfa.store.database import Database


@pytest.fixture
def url(tmp_path: Path, migrated_database: Path) -> str:
    """Where a fresh, migrated database is."""
    return f"sqlite+aiosqlite:///{shutil.copy(migrated_database, tmp_path / 'test.db')}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


@pytest.fixture
async def other_process(url: str) -> AsyncIterator[Database]:
    """The same database, over connections of its own, as another process has them."""
    database = Database(url)
    yield database
    await database.close()
