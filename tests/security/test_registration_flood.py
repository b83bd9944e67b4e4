"""Attack: thousands of accounts, or thousands of questions whether a name is taken."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from graphql_mfa import Settings
from tests.api_client import PASSWORD, Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import FULLWIDTH_ALICE, at_once, kinds, scalar

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
# With the limit that the other tests lift.
pytestmark = pytest.mark.settings(registration_attempts=Settings.model_fields["registration_attempts"].default)


async def test_registration_flood(app: FastAPI, connect: Connect, clock: Clock) -> None:
    """Twenty an hour from one address."""
    api = connect(app, "203.0.113.1")
    answers = [await api.register(f"user{number}") for number in range(21)]

    assert kinds(answers[:20]) == {"RegisterUserSuccess": 20}
    assert answers[20]["__typename"] == "RateLimited"
    assert answers[20]["retryAfter"] == 3600
    assert (await connect(app, "203.0.113.2").register("user20"))["__typename"] == "RegisterUserSuccess"
    clock.advance(3599)
    assert (await api.register("user21"))["retryAfter"] == 1
    clock.advance(1)
    assert (await api.register("user21"))["__typename"] == "RegisterUserSuccess"


@on_each_engine
async def test_parallel_registration_flood(app: FastAPI, connect: Connect) -> None:
    api = connect(app, "203.0.113.1")

    answers = kinds(await at_once(api.register(f"user{number}") for number in range(50)))

    assert answers == {"RegisterUserSuccess": 20, "RateLimited": 30}
    assert await scalar(app.state.services, "SELECT count(*) FROM mfa_users") == 20


async def test_registration_flood_from_one_ipv6_network(app: FastAPI, connect: Connect) -> None:
    for number in range(20):
        answer = await connect(app, f"2001:db8::{number:x}").register(f"user{number}")
        assert answer["__typename"] == "RegisterUserSuccess"

    assert (await connect(app, "2001:db8::ffff:1").register("user20"))["__typename"] == "RateLimited"


async def test_registration_flood_to_learn_names(app: FastAPI, connect: Connect) -> None:
    """It must say that a name is taken; twenty times an hour."""
    assert (await connect(app, "10.9.9.9").register("alice"))["__typename"] == "RegisterUserSuccess"
    api = connect(app, "203.0.113.1")

    answers = [(await api.register("alice"))["__typename"] for _ in range(21)]

    assert answers == ["UsernameTaken"] * 20 + ["RateLimited"]


async def test_registration_flood_with_passwords_that_are_costly_to_score(app: FastAPI, connect: Connect) -> None:
    """Attempts are counted before the expensive work."""
    api = connect(app, "203.0.113.1")
    costly = "aA1!" * 32

    answers = [(await api.register(f"user{number}", costly))["__typename"] for number in range(21)]

    assert answers == ["InvalidInput"] * 20 + ["RateLimited"]


async def test_registration_flood_with_bad_passwords_to_learn_names(app: FastAPI, connect: Connect) -> None:
    """Invalid input is not counted, so its answer must reveal nothing about the name."""
    assert (await connect(app, "10.9.9.9").register("alice"))["__typename"] == "RegisterUserSuccess"
    api = connect(app, "203.0.113.1")

    for _ in range(30):
        taken, free = await api.register("alice", "short"), await api.register("nobody", "short")
        assert taken == free
        assert taken["__typename"] == "InvalidInput"
    # A common password is reported before the check whether the name is taken.
    taken, free = await api.register("alice", "password"), await api.register("nobody", "password")
    assert taken == free
    assert [field["code"] for field in taken["fields"]] == ["TOO_COMMON"]


@on_each_engine
async def test_parallel_registration_of_one_name(app: FastAPI, connect: Connect) -> None:
    """Two owners of one name: the second would set the first one's password."""
    apis = [connect(app, f"203.0.113.{number}") for number in range(50)]
    spellings = ["alice", "ALICE", "Alice", FULLWIDTH_ALICE, "aLICE"]

    answers = kinds(
        await at_once(
            api.register(spellings[number % 5], f"{PASSWORD} {number} otters") for number, api in enumerate(apis)
        )
    )

    assert answers == {"RegisterUserSuccess": 1, "UsernameTaken": 49}
    assert await scalar(app.state.services, "SELECT count(*) FROM mfa_users") == 1


@on_each_engine
async def test_parallel_registration_of_names_that_look_alike(processes: list[Api], username: str) -> None:
    """These names differ but look the same: at most one of them can exist."""
    names = [f"{username}-coca", f"{username}-соса", f"{username}-СОСА", f"{username}-c0ca"]  # noqa: RUF001

    answers = await at_once(client.register(name) for client, name in zip(processes * 8, names * 4, strict=True))

    assert kinds(answers) == {"RegisterUserSuccess": 1, "UsernameTaken": 15}


@on_each_engine
async def test_parallel_registration_of_one_name_to_two_processes(processes: list[Api], username: str) -> None:
    answers = await at_once(client.register(username) for client in processes * 10)

    assert kinds(answers) == {"RegisterUserSuccess": 1, "UsernameTaken": 19}
    (winner,) = [answer for answer in answers if answer["__typename"] == "RegisterUserSuccess"]
    code = code_at(winner["enrollment"]["secret"], processes[0].clock())
    assert (await processes[0].verify_otp(winner["challenge"], code))["__typename"] == "EnrollmentConfirmed"


async def test_registration_while_closed(run_app: RunApp, connect: Connect) -> None:
    async with run_app(registration_open=False) as app:
        answer = await connect(app).register()

        assert answer["__typename"] == "RegistrationClosed"
        assert await scalar(app.state.services, "SELECT count(*) FROM mfa_users") == 0
