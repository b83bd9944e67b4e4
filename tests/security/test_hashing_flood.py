"""Attack: saturate password hashing, the most expensive operation, to block other sign-ins."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from graphql_mfa.services import Services
from tests.api_client import LOGIN, PASSWORD, Result
from tests.authenticator import code_at
from tests.clock import WAIT, Clock
from tests.conftest import Connect
from tests.security.attacks import NO_RECOVERY_CODE, WRONG_PASSWORD, at_once, kinds, scalar
from tests.slots import THREADS, slots_taken

SLOTS = 8
pytestmark = pytest.mark.settings(hashing_slots=SLOTS)


@asynccontextmanager
async def hashing_blocked(services: Services) -> AsyncIterator[None]:
    """Every hashing thread stands still, as if each hash took forever; nothing inside may wait for one."""
    go_on = threading.Event()
    blocked = [asyncio.create_task(services.hashing.run(go_on.wait, WAIT)) for _ in range(THREADS)]
    await asyncio.sleep(0)  # before anything else gets a thread
    try:
        yield
    finally:
        go_on.set()
        assert all(await asyncio.gather(*blocked)), "something waited for a hash"


@asynccontextmanager
async def all_slots_taken(services: Services) -> AsyncIterator[None]:
    """Every slot is taken, each by another address."""
    async with slots_taken(services.hashing, *(f"192.0.2.{number}" for number in range(SLOTS))):
        yield


async def first(count: int, tasks: list[asyncio.Task[Result]]) -> list[Result]:
    """Those that are answered first."""
    return [await answer for answer in islice(asyncio.as_completed(tasks), count)]


async def throttles(services: Services) -> list[tuple[Any, ...]]:
    """The counters of all throttles."""
    sql = text("SELECT * FROM mfa_throttles ORDER BY key")
    return await services.database.read(lambda connection: [tuple(row) for row in connection.execute(sql)])


async def test_hashing_flood_of_logins(app: FastAPI, connect: Connect, services: Services) -> None:
    """Beyond the slots logins are refused at once, while those that have one still wait."""
    await connect(app).member()
    async with hashing_blocked(services):
        tasks = [asyncio.create_task(connect(app, f"203.0.113.{number}").login()) for number in range(20)]
        refused = await first(20 - SLOTS, tasks)
        waiting = [task for task in tasks if not task.done()]

    assert kinds(refused) == {"RateLimited": 20 - SLOTS}
    assert all(answer["retryAfter"] >= 1 for answer in refused)
    assert kinds(await asyncio.gather(*waiting)) == {"OtpRequired": SLOTS}


async def test_hashing_flood_of_a_server_that_has_just_started(
    app: FastAPI, connect: Connect, services: Services
) -> None:
    """It also works before the first job has measured the duration of a hash."""
    async with hashing_blocked(services):
        tasks = [asyncio.create_task(connect(app, f"203.0.113.{number}").login()) for number in range(20)]
        refused = await first(20 - SLOTS, tasks)

    assert kinds(refused) == {"RateLimited": 20 - SLOTS}
    assert kinds(await asyncio.gather(*tasks)) == {"RateLimited": 20 - SLOTS, "InvalidCredentials": SLOTS}


async def test_hashing_flood_of_registrations(app: FastAPI, connect: Connect, services: Services) -> None:
    await connect(app).register("somebody")
    async with hashing_blocked(services):
        tasks = [
            asyncio.create_task(connect(app, f"203.0.113.{number}").register(f"user{number}")) for number in range(20)
        ]
        refused = await first(20 - SLOTS, tasks)
        waiting = [task for task in tasks if not task.done()]

    assert kinds(refused) == {"RateLimited": 20 - SLOTS}
    assert all(answer["retryAfter"] >= 1 for answer in refused)
    assert kinds(await asyncio.gather(*waiting)) == {"RegisterUserSuccess": SLOTS}
    assert await scalar(services, "SELECT count(*) FROM mfa_users") == 1 + SLOTS


async def test_hashing_flood_beyond_the_slots_is_neither_counted_nor_tried(
    app: FastAPI, connect: Connect, services: Services
) -> None:
    """A client that is refused because of others loses no attempt."""
    alice = connect(app, "203.0.113.1")
    await alice.member()
    before = await throttles(services)

    async with all_slots_taken(services):
        wrong = await at_once(alice.login(password=WRONG_PASSWORD) for _ in range(50))
        right = await at_once(alice.login() for _ in range(5))
        registered = await at_once(alice.register(f"user{number}") for number in range(5))
    answers = kinds([*wrong, *right, *registered])

    assert answers == {"RateLimited": 60}
    assert await throttles(services) == before
    assert await scalar(services, "SELECT count(*) FROM mfa_users") == 1
    assert (await alice.login())["__typename"] == "OtpRequired"
    assert (await alice.register("user0"))["__typename"] == "RegisterUserSuccess"


async def test_hashing_flood_gets_a_realistic_retry_after(app: FastAPI, connect: Connect, services: Services) -> None:
    """As long as the jobs before it will take."""
    services.hashing._seconds_per_job = 3.1 * THREADS
    async with all_slots_taken(services):
        assert (await connect(app).login())["retryAfter"] == 25  # 8 jobs of 3.1 seconds


async def test_hashing_flood_does_not_block_other_operations(
    app: FastAPI, connect: Connect, services: Services, clock: Clock
) -> None:
    """Whatever hashes no password is answered while no hash gets done."""
    api = connect(app)
    member = await api.member()
    challenges = [await api.challenge() for _ in range(2)]
    async with hashing_blocked(services):
        user = await api.me(member.access_token)
        wrong = await api.verify_recovery_code(challenges[0], NO_RECOVERY_CODE)
        recovered = await api.verify_recovery_code(challenges[0], member.recovery_codes[0])
        verified = await api.verify_otp(challenges[1], code_at(member.secret, clock()))
        refreshed = await api.refresh(member.refresh_token)
        left = await api.logout(refreshed["tokens"]["accessToken"])
        health = [(await api.http.get(path)).status_code for path in ("/healthz", "/readyz")]

    assert user is not None
    assert [answer["__typename"] for answer in (wrong, recovered, verified, refreshed, left)] == [
        "InvalidRecoveryCode",
        "SignedIn",
        "SignedIn",
        "SignedIn",
        "LogoutSuccess",
    ]
    assert health == [200, 200]


async def test_hashing_flood_reveals_no_names(app: FastAPI, connect: Connect, services: Services) -> None:
    """Known and unknown names, right and wrong passwords are refused alike."""
    api = connect(app)
    await api.member()

    async def raw(name: str, password: str) -> tuple[int, dict[str, str], bytes]:
        response = await api.send(LOGIN, {"input": {"username": name, "password": password}})
        headers = {key: value for key, value in response.headers.items() if key != "x-request-id"}
        return response.status_code, headers, response.content

    async with all_slots_taken(services):
        known = await raw("alice", WRONG_PASSWORD)
        others = [
            await raw("nobody", WRONG_PASSWORD),
            await raw("alice", PASSWORD),
            await raw("", ""),
        ]
        taken, free = await api.register("alice"), await api.register("nobody")

    assert b"RateLimited" in known[2]
    assert others == [known] * 3
    assert taken == free
    assert taken["__typename"] == "RateLimited"
