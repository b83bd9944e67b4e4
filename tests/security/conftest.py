"""Two processes of the real server on one database, and an operator's command, for race tests."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from graphql_mfa.services import Services
from graphql_mfa.store.database import Database
from tests.api_client import Api
from tests.conftest import Server
from tests.passkeys import ORIGIN
from tests.security.attacks import real_api


@pytest.fixture(scope="session")
def two_servers(
    tmp_path_factory: pytest.TempPathFactory, new_environment: Callable[[], dict[str, str]]
) -> Iterator[list[str]]:
    """Their base URLs."""
    folder = tmp_path_factory.mktemp("two-servers")
    passkeys = {"GRAPHQL_MFA_PASSKEY_RP_ID": "localhost", "GRAPHQL_MFA_PASSKEY_ORIGINS": ORIGIN}
    environment = new_environment() | passkeys
    servers = [Server(folder, **environment).start(), Server(folder, **environment).start()]
    yield [server.url for server in servers]
    for server in servers:
        server.stop()


@pytest.fixture
async def processes(two_servers: list[str]) -> AsyncIterator[list[Api]]:
    """A client of each."""
    async with AsyncExitStack() as stack:
        yield [
            real_api(await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=60)))
            for url in two_servers
        ]


@pytest.fixture
async def operator(database_url: str, services: Services) -> AsyncIterator[Services]:
    """The services of a command: over connections of its own."""
    database = Database(database_url)
    yield replace(services, database=database)
    await database.close()


@pytest.fixture
def username() -> str:
    """A name that is unused on the shared servers."""
    return f"user-{uuid4().hex[:12]}"
