"""Attack: guess passwords: of one account, of many, from one address or from thousands, one by one or at once."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from graphql_mfa.flows.operators import unlock
from graphql_mfa.services import Services
from tests.api_client import PASSWORD, Api
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import FULLWIDTH_ALICE, WRONG_PASSWORD, at_once, kinds, scalar

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]


async def wait_of(api: Api, username: str, password: str = WRONG_PASSWORD) -> int:
    """The wait that is returned to the address."""
    answer = await api.login(username, password)
    assert answer["__typename"] == "RateLimited", answer
    wait: int = answer["retryAfter"]
    return wait


async def guess(api: Api, username: str = "alice") -> str:
    kind: str = (await api.login(username, WRONG_PASSWORD))["__typename"]
    return kind


# ------------------------------------------------------------------------------------- one account, from one address


@pytest.mark.parametrize("name", ["alice", "nobody", "no:body", ""])
async def test_password_guessing_on_one_account(app: FastAPI, connect: Connect, clock: Clock, name: str) -> None:
    """Ten tries, then waits that double from one second to fifteen minutes; unknown names alike."""
    await connect(app, "10.9.9.9").member()
    thief = connect(app, "203.0.113.1")
    assert [await guess(thief, name) for _ in range(10)] == ["InvalidCredentials"] * 10

    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]:
        assert await wait_of(thief, name) == wait
        clock.advance(wait - 0.5)
        assert await wait_of(thief, name) == 1
        clock.advance(0.5)
        assert await guess(thief, name) == "InvalidCredentials"


async def test_password_guessing_does_not_find_the_right_one_during_the_wait(api: Api) -> None:
    await api.member()
    for _ in range(10):
        await guess(api)

    assert (await api.login())["__typename"] == "RateLimited"


async def test_password_guessing_during_the_wait_counts_nothing(api: Api, clock: Clock) -> None:
    """Otherwise an attacker could block an address permanently."""
    await api.member()
    for _ in range(10):
        await guess(api)
    for _ in range(50):
        assert (await api.login())["__typename"] == "RateLimited"

    clock.advance(1)

    assert (await api.login())["__typename"] == "OtpRequired"


async def test_password_guessing_in_the_spellings_of_one_name(app: FastAPI, connect: Connect) -> None:
    """Each spelling is not another account with ten tries of its own."""
    await connect(app, "10.9.9.9").member()
    thief = connect(app, "203.0.113.1")
    spellings = ["alice", "ALICE", "Alice", "aLiCe", FULLWIDTH_ALICE, "alice "]

    answers = [await guess(thief, name) for name in spellings * 3]

    assert answers == ["InvalidCredentials"] * 10 + ["RateLimited"] * 8


async def test_password_guessing_with_the_right_one_in_between(api: Api) -> None:
    """A success releases its own attempt and no other."""
    await api.member()
    for _ in range(9):
        await guess(api)
    for _ in range(3):
        assert (await api.login())["__typename"] == "OtpRequired"

    assert [await guess(api), await guess(api)] == ["InvalidCredentials", "RateLimited"]


async def test_password_guessing_does_not_block_the_owner_at_another_address(app: FastAPI, connect: Connect) -> None:
    owner, thief = connect(app), connect(app, "203.0.113.1")
    await owner.member()
    for _ in range(20):
        await guess(thief)

    assert (await owner.login())["__typename"] == "OtpRequired"


@on_each_engine
async def test_parallel_password_guessing(app: FastAPI, connect: Connect) -> None:
    """An attempt is counted before the password is compared: of fifty in parallel, ten are compared."""
    await connect(app, "10.9.9.9").member()
    thief = connect(app, "203.0.113.1")

    answers = kinds(await at_once(thief.login("alice", WRONG_PASSWORD) for _ in range(50)))

    assert answers == {"InvalidCredentials": 10, "RateLimited": 40}


@on_each_engine
async def test_parallel_password_guessing_with_the_right_one_among_them(app: FastAPI, connect: Connect) -> None:
    await connect(app, "10.9.9.9").member()
    thief = connect(app, "203.0.113.1")
    passwords = [WRONG_PASSWORD] * 45

    answers = kinds(
        await at_once([*(thief.login("alice", password) for password in passwords), *(thief.login() for _ in range(5))])
    )

    assert answers["InvalidCredentials"] <= 11  # a success gives its own try back, which another may take
    assert answers["InvalidCredentials"] + answers["OtpRequired"] + answers["RateLimited"] == 50


@on_each_engine
async def test_parallel_password_guessing_to_two_processes(processes: list[Api], username: str) -> None:
    answers = kinds(await at_once(client.login(username, WRONG_PASSWORD) for client in processes * 25))

    assert answers["InvalidCredentials"] <= 10
    assert set(answers) == {"InvalidCredentials", "RateLimited"}


# ---------------------------------------------------------------------------------- many accounts, from one address


async def test_password_spraying_over_many_accounts(app: FastAPI, connect: Connect, clock: Clock) -> None:
    """Thirty per address in five minutes, whatever the names."""
    owner, thief = connect(app), connect(app, "203.0.113.1")
    await owner.member()
    for number in range(30):
        assert await guess(thief, f"name{number}") == "InvalidCredentials"

    assert await wait_of(thief, "one-more") == 300
    assert await wait_of(thief, "alice", PASSWORD) == 300
    assert (await owner.login())["__typename"] == "OtpRequired"
    clock.advance(299)
    assert await wait_of(thief, "one-more") == 1
    clock.advance(1)
    assert await guess(thief, "one-more") == "InvalidCredentials"


@on_each_engine
async def test_parallel_password_spraying(app: FastAPI, connect: Connect) -> None:
    thief = connect(app, "203.0.113.1")

    answers = kinds(await at_once(thief.login(f"name{number}", WRONG_PASSWORD) for number in range(50)))

    assert answers == {"InvalidCredentials": 30, "RateLimited": 20}


async def test_password_spraying_from_one_ipv6_network(app: FastAPI, connect: Connect) -> None:
    """A subscriber has 2^64 addresses; they count as one."""
    for number in range(30):
        thief = connect(app, f"2001:db8:1:2::{number:x}")
        assert await guess(thief, f"name{number}") == "InvalidCredentials"

    assert await guess(connect(app, "2001:db8:1:2:ffff:ffff:ffff:ffff"), "one-more") == "RateLimited"
    assert await guess(connect(app, "2001:db8:1:3::1"), "one-more") == "InvalidCredentials"


async def test_password_spraying_from_one_address_in_two_notations(app: FastAPI, connect: Connect) -> None:
    for number in range(15):
        for notation in ("203.0.113.1", "::ffff:203.0.113.1"):
            assert await guess(connect(app, notation), f"name{number}") == "InvalidCredentials"

    assert await guess(connect(app, "203.0.113.1"), "one-more") == "RateLimited"
    assert await guess(connect(app, "::ffff:cb00:7101"), "one-more") == "RateLimited"


@on_each_engine
async def test_thirty_parallel_right_logins_are_not_password_spraying(app: FastAPI, connect: Connect) -> None:
    """People behind one address, at nine in the morning."""
    office = connect(app, "198.51.100.1")
    names = [f"employee{number}" for number in range(30)]
    for name in names:
        assert (await connect(app, "10.9.9.9").register(name))["__typename"] == "RegisterUserSuccess"

    for _ in range(3):
        assert kinds(await at_once(office.login(name) for name in names)) == {"OtpRequired": 30}
    # And none of it was counted.
    assert [await guess(office, f"name{number}") for number in range(31)] == ["InvalidCredentials"] * 30 + [
        "RateLimited"
    ]


# --------------------------------------------------------------------------------- one account, from many addresses


async def exhaust_strangers(app: FastAPI, connect: Connect, name: str = "alice", network: str = "203.0.113") -> None:
    """A hundred wrong passwords, four from each of twenty-five addresses."""
    for number in range(25):
        thief = connect(app, f"{network}.{number}")
        for _ in range(4):
            assert await guess(thief, name) == "InvalidCredentials"


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_password_guessing_from_many_addresses(app: FastAPI, connect: Connect, clock: Clock, name: str) -> None:
    """After a hundred an hour, all strange addresses together have one try a minute."""
    await connect(app, "10.9.9.9").member()
    await exhaust_strangers(app, connect, name)

    for number in range(5):
        assert await wait_of(connect(app, f"198.51.100.{number}"), name) == 60
        clock.advance(60)
        assert await guess(connect(app, f"198.51.100.{number}"), name) == "InvalidCredentials"
        assert await wait_of(connect(app, f"192.0.2.{number}"), name) == 60


@on_each_engine
async def test_parallel_password_guessing_from_many_addresses(app: FastAPI, connect: Connect, clock: Clock) -> None:
    """Parallel requests share the one attempt per minute."""
    await connect(app, "10.9.9.9").member()
    await exhaust_strangers(app, connect)
    clock.advance(60)
    botnet = [connect(app, f"198.51.100.{number}") for number in range(50)]

    answers = kinds(await at_once(bot.login("alice", WRONG_PASSWORD) for bot in botnet))

    assert answers == {"InvalidCredentials": 1, "RateLimited": 49}


async def test_password_guessing_from_many_addresses_does_not_block_the_owner_at_a_known_address(
    app: FastAPI, connect: Connect, clock: Clock
) -> None:
    """From where the account signed in before, nothing is slower, and wrong passwords there are its own affair."""
    owner = connect(app)
    await owner.member()
    await exhaust_strangers(app, connect)

    assert (await owner.login())["__typename"] == "OtpRequired"
    assert await guess(owner) == "InvalidCredentials"
    assert (await owner.login())["__typename"] == "OtpRequired"


async def test_password_guessing_from_many_addresses_admits_the_owner_at_a_new_address(
    app: FastAPI, connect: Connect, clock: Clock
) -> None:
    """At a strange address the owner shares that one try; being right, it is not used up."""
    await connect(app).member()
    traveller = connect(app, "198.51.100.77")
    await exhaust_strangers(app, connect)
    assert (await traveller.login())["__typename"] == "RateLimited"

    clock.advance(60)

    assert (await traveller.login())["__typename"] == "OtpRequired"


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_password_guessing_that_blocks_new_addresses_gets_an_answer_with_advice(
    app: FastAPI, connect: Connect, clock: Clock, name: str
) -> None:
    """The one try a minute goes to the thief who polls. The owner signs in at home, or anywhere after an unlock."""
    home, traveller, thief = connect(app), connect(app, "198.51.100.77"), connect(app, "198.51.100.78")
    await home.member()
    await exhaust_strangers(app, connect, name)
    for _ in range(12):
        clock.advance(60)
        assert await guess(thief, name) in {"InvalidCredentials", "RateLimited"}
        answer = await traveller.login(name)
        assert answer["__typename"] == "RateLimited"
        assert "from which you signed in before" in answer["message"]

    assert (await home.login())["__typename"] == "OtpRequired"
    services = app.state.services
    await unlock(services, "alice")
    assert (await traveller.login())["__typename"] == "OtpRequired"


async def test_password_guessing_of_one_address_gets_no_advice_about_networks(api: Api) -> None:
    for _ in range(10):
        await guess(api, "nobody")

    answer = await api.login("nobody")
    assert answer["__typename"] == "RateLimited"
    assert "signed in before" not in answer["message"]


async def test_password_guessing_from_the_address_of_another_account(app: FastAPI, connect: Connect) -> None:
    """An address is known for the account that signed in from it, not for all."""
    await connect(app).member("alice")
    await connect(app, "198.51.100.1").member("mallory")
    await exhaust_strangers(app, connect)

    assert await guess(connect(app, "198.51.100.1"), "alice") == "RateLimited"


async def test_password_guessing_from_an_address_without_a_second_factor(app: FastAPI, connect: Connect) -> None:
    """An address becomes known by a whole sign-in, not by the password."""
    await connect(app).member()
    thief = connect(app, "198.51.100.1")
    assert (await thief.login())["__typename"] == "OtpRequired"
    await exhaust_strangers(app, connect)

    assert (await thief.login())["__typename"] == "RateLimited"


async def test_password_guessing_beyond_the_limit_of_an_address_adds_no_rows(
    app: FastAPI, connect: Connect, services: Services
) -> None:
    """A new name with each guess, which is refused, leaves nothing behind."""
    thief = connect(app, "203.0.113.1")
    assert kinds([await thief.login(f"user{number}") for number in range(30)]) == {"InvalidCredentials": 30}
    before = await scalar(services, "SELECT count(*) FROM mfa_throttles")

    refused = [await thief.login(f"another{number}") for number in range(20)]

    assert kinds(refused) == {"RateLimited": 20}
    assert await scalar(services, "SELECT count(*) FROM mfa_throttles") == before
