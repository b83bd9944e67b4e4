"""PostgreSQL crashes or stops answering under `graphql-mfa serve`, and recovers."""

import asyncio
import itertools
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from tests.api_client import LOGIN, PASSWORD, REGISTER_USER, Api
from tests.clock import Clock
from tests.conftest import KEY, Server, postgresql_only, require_program
from tests.postgresql import PostgresqlServer, program, running_server

pytestmark = postgresql_only

POOL_SIZE = 5
CLIENTS = 16  # more than there are connections to the database
REGISTRATIONS = 20  # before the database goes away, and again after it came back
FAILURES = 40  # while it is away
WRONG = {"input": {"username": "user 1", "password": "wrong battery horse staple"}}
FAIL_SAFE_SECONDS = 90
# A statement may take longer than any test, so that health checks can't depend on its end.
PROGRAM = """from graphql_mfa.store import postgresql
postgresql._STATEMENT_SECONDS = 86_400
import graphql_mfa.__main__"""

Serve = Callable[..., Server]


class Replica(Server):
    """A server whose statements have no time limit but that of their request."""

    command = (sys.executable, "-c", PROGRAM, "serve", "--port", "0")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A separate server with durable commits."""
    require_program("PostgreSQL's server", program("initdb"))
    with running_server("synchronous_commit=on") as server:
        yield server


@pytest.fixture
def database(server: PostgresqlServer) -> str:
    """The name of a database of this version."""
    return make_url(server.migrated_database()).database or ""


@pytest.fixture
def serve(server: PostgresqlServer, database: str, tmp_path: Path) -> Iterator[Serve]:
    """Start a replica on that database, with custom settings. It is killed at the end of the test."""
    replicas: list[Replica] = []

    def start(url: str = "", **settings: str) -> Server:
        environment = {
            "GRAPHQL_MFA_DATABASE_URL": url or server.url(database),
            "GRAPHQL_MFA_DATABASE_POOL_SIZE": str(POOL_SIZE),
            "GRAPHQL_MFA_SECRET_KEYS": KEY,
        }
        replicas.append(Replica(tmp_path, **(environment | settings)))
        return replicas[-1].start()

    yield start
    for replica in replicas:
        if replica.process.poll() is None:
            replica.kill()


@asynccontextmanager
async def client(replica: Server) -> AsyncIterator[Api]:
    async with (
        asyncio.timeout(FAIL_SAFE_SECONDS),
        httpx.AsyncClient(base_url=replica.url, timeout=FAIL_SAFE_SECONDS) as http,
    ):
        yield Api(http, Clock())


@asynccontextmanager
async def stalled(server: PostgresqlServer) -> AsyncIterator[None]:
    """Its connections stay open, but the server does not answer."""
    server.pause()
    try:
        yield
    finally:
        server.pause(signal.SIGCONT)


@asynccontextmanager
async def away(server: PostgresqlServer) -> AsyncIterator[None]:
    """It crashes; afterwards it is started again."""
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


async def health(api: Api) -> tuple[int, int]:
    """The status codes of /healthz and /readyz."""
    process, readiness = await asyncio.gather(api.http.get("/healthz"), api.http.get("/readyz"))
    return process.status_code, readiness.status_code


async def register(api: Api, name: str) -> bool:
    """Whether the account was created; otherwise the response must be a well-formed error."""
    response = await api.send(REGISTER_USER, {"input": {"username": name, "password": PASSWORD}})
    assert response.status_code == 200, response.text
    answer = response.json()
    if "errors" in answer:
        assert [error["message"] for error in answer["errors"]] == ["Internal server error."]
        return False
    assert answer["data"]["registerUser"]["__typename"] == "RegisterUserSuccess", answer
    return True


async def assert_no_leak(server: PostgresqlServer, database: str) -> None:
    """In the end the replica has no more connections than its pool, and not one in a transaction.

    PostgreSQL itself takes a moment to notice that somebody has gone.
    """
    states = f"FROM pg_stat_activity WHERE datname = '{database}'"
    leaked = f"SELECT count(*) > {POOL_SIZE} OR bool_or(state <> 'idle') {states}"
    while await asyncio.to_thread(server.execute, "template1", leaked):
        pass


async def test_a_database_crash_under_load_loses_nothing_and_the_server_recovers(
    server: PostgresqlServer, database: str, serve: Serve
) -> None:
    registered: list[str] = []
    failed: list[str] = []
    meanwhile: set[tuple[int, int]] = set()
    names = map("user {}".format, itertools.count())
    over = asyncio.Event()

    async def load(api: Api) -> None:
        while not over.is_set():
            name = next(names)
            (registered if await register(api, name) else failed).append(name)

    replica = serve()
    async with client(replica) as api:
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(load(api))
            while len(registered) < REGISTRATIONS:
                assert await health(api) == (200, 200)
            async with away(server):
                before = len(failed)
                while len(failed) < before + FAILURES:
                    meanwhile.add(await health(api))
            before = len(registered)
            while len(registered) < before + REGISTRATIONS:
                assert await health(api) == (200, 200)
            over.set()

        assert meanwhile == {(200, 503)}
        answers = [(await api.login(name))["__typename"] for name in registered]
        assert answers == ["OtpRequired"] * len(registered)
        await assert_no_leak(server, database)
    log = await asyncio.to_thread(replica.stop)
    assert log.count("The database is unavailable: ") >= len(failed)
    assert ", line " not in log, "what everybody expects then needs no traceback"


async def test_requests_time_out_when_the_database_stops_answering(
    server: PostgresqlServer, database: str, serve: Serve
) -> None:
    async with client(serve(GRAPHQL_MFA_REQUEST_TIMEOUT_SECONDS="1")) as api:

        async def statuses() -> set[int]:
            responses = await asyncio.gather(*(api.send(LOGIN, WRONG) for _ in range(CLIENTS)))
            return {response.status_code for response in responses}

        async def has_recovered() -> bool:
            response = await api.send(REGISTER_USER, {"input": {"username": next(names), "password": PASSWORD}})
            return "RegisterUserSuccess" in response.text and await health(api) == (200, 200)

        names = map("user {}".format, itertools.count())
        await statuses()  # which opens its connections
        async with stalled(server):
            assert await statuses() == {503}
            assert await health(api) == (200, 503)
        while not await has_recovered():
            pass
        await assert_no_leak(server, database)


async def test_requests_time_out_when_new_database_connections_hang(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with client(serve(f"postgresql+asyncpg://tests@127.0.0.1:{silent.getsockname()[1]}/test")) as api:
            made = await asyncio.gather(*(register(api, f"user {number}") for number in range(POOL_SIZE)))
            assert made == [False] * POOL_SIZE
            assert await health(api) == (200, 503)
