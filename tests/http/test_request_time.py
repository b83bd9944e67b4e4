"""The timeout of a request that waits for its body, the store or a hash."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from unittest.mock import patch

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from graphql_mfa.services import Registration, Services
from graphql_mfa.store.database import sqlite_file
from tests.api_client import LOGIN, PASSWORD, REGISTER_USER, Api, Member
from tests.clock import WAIT
from tests.conftest import Connect, connections_in_use, on_each_engine
from tests.http.requests import JSON, POLICY, assert_refusal, messages
from tests.security.attacks import WRONG_PASSWORD, kinds, scalar
from tests.slots import RUNNING_FOR_ONE_ADDRESS, THREADS

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

RIGHT = {"input": {"username": "alice", "password": PASSWORD}}
WRONG = {"input": {"username": "alice", "password": WRONG_PASSWORD}}


@pytest.fixture(autouse=True)
async def member(api: Api) -> Member:
    return await api.member()


@contextmanager
def one_second_each(services: Services) -> Iterator[None]:
    """Requests that come meanwhile have one second; others have the default time, in which they succeed."""
    with patch.dict(vars(services.settings), request_timeout_seconds=1):
        yield


@asynccontextmanager
async def store_locked(services: Services) -> AsyncIterator[None]:
    """Another process writes, and does not come to an end."""
    if file := sqlite_file(services.settings.database_url):
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
        return
    other = create_async_engine(services.settings.database_url)
    async with other.begin() as transaction:
        await transaction.execute(text("LOCK TABLE mfa_users, mfa_throttles IN EXCLUSIVE MODE"))
        yield
    await other.dispose()


def assert_time_out(response: httpx.Response, status: int) -> None:
    """Assert a timeout without internals."""
    assert_refusal(response, status)
    assert messages(response) == ["The request took too long."]
    assert response.json()["errors"][0]["extensions"] == {"code": "REQUEST_TIMEOUT"}


async def attempts(services: Services) -> list[int]:
    """The counters: one registration, and the total of logins of the address."""
    sql = text("SELECT attempts FROM mfa_throttles WHERE attempts > 0 ORDER BY attempts")
    return await services.database.read(lambda connection: list(connection.scalars(sql)))


@pytest.mark.parametrize("begun", [b"", b'{"query": "{ policy '])
async def test_a_body_that_never_ends_times_out(run_app: RunApp, connect: Connect, begun: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield begun
        await asyncio.Event().wait()

    async with run_app(request_timeout_seconds=1) as app:
        api = connect(app)
        response = await api.http.post("/graphql", content=body(), headers=JSON)

        assert_time_out(response, 408)
        assert await api.run(POLICY)


@on_each_engine
async def test_a_request_to_a_locked_store_times_out(api: Api, services: Services) -> None:
    """SQLite itself waits for ten seconds, in a thread that can't be interrupted; PostgreSQL waits for good."""
    before = await attempts(services)
    async with store_locked(services):
        with one_second_each(services):
            response = await api.send(LOGIN, WRONG)
        still_waiting = connections_in_use(services.database)
        during = await attempts(services)

    assert_time_out(response, 503)
    if sqlite_file(services.settings.database_url):
        assert still_waiting == 1
    assert during == before
    assert (await api.login())["__typename"] == "OtpRequired"
    assert await attempts(services) == [*before, 1]


@on_each_engine
async def test_a_timed_out_write_does_not_run_once_the_store_is_unlocked(api: Api, services: Services) -> None:
    """The client got an error and may have disconnected."""
    async with store_locked(services):
        with one_second_each(services):
            response = await api.send(REGISTER_USER, {"input": {"username": "bob", "password": PASSWORD}})

    assert_time_out(response, 503)
    assert (await api.login())["__typename"] == "OtpRequired"
    assert await scalar(services, "SELECT count(*) FROM mfa_users") == 1
    assert await attempts(services) == [1, 1]


@on_each_engine
async def test_no_connection_is_lost_to_requests_that_took_too_long(
    app: FastAPI, connect: Connect, services: Services, member: Member
) -> None:
    """Not the one that waited for the lock, and none of those that waited for the connection."""
    apis = [connect(app, f"10.0.0.{number}") for number in range(6)]
    async with store_locked(services):
        with one_second_each(services):
            tasks = [asyncio.create_task(api.send(LOGIN, WRONG)) for api in apis]
            user = await apis[0].me(member.access_token)
            responses = await asyncio.gather(*tasks)

    assert user is not None  # reading goes on
    for response in responses:
        assert_time_out(response, 503)
    for api in apis:
        assert (await api.login())["__typename"] == "OtpRequired"
    assert connections_in_use(services.database) == 0


async def test_hashing_that_hangs_times_out(app: FastAPI, connect: Connect, services: Services) -> None:
    """An attempt that had its turn stays counted, since it might have been right; its slot is free again."""
    # No more than run at once: one that waits might get its turn when the first of them times out.
    api, before, hung = connect(app, "10.0.0.7"), await attempts(services), RUNNING_FOR_ONE_ADDRESS
    go_on = threading.Event()
    hanging = [asyncio.create_task(services.hashing.run(go_on.wait, WAIT)) for _ in range(THREADS)]
    try:
        with one_second_each(services):
            responses = await asyncio.gather(*(api.send(LOGIN, RIGHT) for _ in range(hung)))
            counted = await attempts(services)
            again = await api.send(LOGIN, RIGHT)
    finally:
        go_on.set()
        assert all(await asyncio.gather(*hanging))

    for response in (*responses, again):
        assert_time_out(response, 503)
    assert counted == [*before, *[hung] * 5]
    assert kinds([await api.login() for _ in range(6)]) == {"OtpRequired": 6}
    assert await attempts(services) == [*before, *[hung + 1] * 4, hung + 1 + 6]
    assert services.hashing._taken == []


async def test_a_hosts_condition_that_hangs_times_out(run_app: RunApp, connect: Connect) -> None:
    async def hang(_: Registration) -> str | None:
        await asyncio.Event().wait()
        return None

    async with run_app(request_timeout_seconds=1, before_registration=hang) as app:
        response = await connect(app).send(REGISTER_USER, {"input": {"username": "bob", "password": PASSWORD}})

        assert_time_out(response, 503)
        assert await scalar(app.state.services, "SELECT count(*) FROM mfa_users") == 1
