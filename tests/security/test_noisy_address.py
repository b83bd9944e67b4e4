"""Attack: saturate password hashing from one address, with right or wrong passwords."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from graphql_mfa.core.passwords import PasswordHasher, PasswordVerdict
from tests.api_client import Result
from tests.conftest import Connect
from tests.security.attacks import WRONG_PASSWORD, at_once, kinds
from tests.security.test_hashing_flood import hashing_blocked
from tests.slots import RUNNING_FOR_ONE_ADDRESS, until_taken

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
Login = asyncio.Task[Result]

NOISY, QUIET = "203.0.113.9", "198.51.100.1"


@pytest.mark.parametrize(
    ("noisy", "quiet"),
    [(NOISY, QUIET), ("2001:db8::1", "2001:db8:1::1"), ("2001:db8::1", "2001:db8:0:1::1")],
    ids=["IPv4", "another IPv6 site", "another network of the site"],
)
async def test_a_quiet_address_does_not_wait_for_a_busy_one(
    run_app: RunApp, connect: Connect, monkeypatch: pytest.MonkeyPatch, noisy: str, quiet: str
) -> None:
    """However many logins of a noisy address wait: those that have their turn are before it, and one more."""
    hashed: list[str | None] = []
    verify = PasswordHasher.verify

    def recorded(hasher: PasswordHasher, password: str, stored: str | None) -> PasswordVerdict:
        hashed.append(password)
        return verify(hasher, password, stored)

    monkeypatch.setattr(PasswordHasher, "verify", recorded)
    async with run_app() as app:
        await connect(app).member()
        services = app.state.services
        async with hashing_blocked(services):
            flood = [asyncio.create_task(connect(app, noisy).login()) for _ in range(40)]
            await until_taken(services.hashing, 40)
            sign_in = asyncio.create_task(connect(app, quiet).login(password=WRONG_PASSWORD))
            await until_taken(services.hashing, 41)
        assert (await sign_in)["__typename"] == "InvalidCredentials"
        await asyncio.gather(*flood)

    assert len(hashed) == 41
    assert hashed.index(WRONG_PASSWORD) <= RUNNING_FOR_ONE_ADDRESS + 1


@pytest.mark.parametrize("noisy", [[NOISY], [NOISY, "203.0.113.10", "203.0.113.11"]], ids=["one", "three"])
async def test_busy_addresses_do_not_displace_a_quiet_one(run_app: RunApp, connect: Connect, noisy: list[str]) -> None:
    """The last login in the longest queue makes room, before anything of it is counted."""
    async with run_app(hashing_slots=12, login_attempts=1) as app:
        services = app.state.services
        await connect(app).member()
        attackers = [connect(app, noisy[number % len(noisy)]) for number in range(12)]
        async with hashing_blocked(services):
            flood = [
                asyncio.create_task(attacker.login(f"name{number}", WRONG_PASSWORD))
                for number, attacker in enumerate(attackers)
            ]
            await until_taken(services.hashing, len(flood))
            sign_in = asyncio.create_task(connect(app, QUIET).login())
            displaced = await next(asyncio.as_completed(flood))
        outcomes = kinds(await asyncio.gather(*flood))
        again = [await attacker.login(f"name{number}", WRONG_PASSWORD) for number, attacker in enumerate(attackers)]

    assert (await sign_in)["__typename"] == "OtpRequired"
    assert displaced["__typename"] == "RateLimited"
    assert outcomes == {"InvalidCredentials": 11, "RateLimited": 1}
    assert kinds(again) == {"RateLimited": 11, "InvalidCredentials": 1}


async def test_sixty_colleagues_sign_in_from_one_address_at_once(run_app: RunApp, connect: Connect) -> None:
    """With default settings, no request is refused while slots are free."""
    async with run_app() as app:
        office = connect(app)
        for number in range(60):
            await office.register(f"user{number}")

        assert kinds(await at_once(office.login(f"user{number}") for number in range(60))) == {"OtpRequired": 60}
