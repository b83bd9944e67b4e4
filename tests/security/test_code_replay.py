"""Attack: replay a code that was observed or intercepted (RFC 6238 5.2)."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from graphql_mfa.services import Services
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect
from tests.security.attacks import attempts_counted, guess, sessions_of

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]


async def test_replay_of_a_sign_in_code_at_a_second_login(
    app: FastAPI, connect: Connect, clock: Clock, services: Services
) -> None:
    owner, thief = connect(app), connect(app, "203.0.113.9")
    member = await owner.member()
    code = code_at(member.secret, clock())
    assert (await owner.verify_otp(await owner.challenge(), code))["__typename"] == "SignedIn"

    replayed = await thief.verify_otp(await thief.challenge(), code)

    assert replayed["__typename"] == "OtpAlreadyUsed"
    assert replayed["retryAfter"] == 20  # the clock stands ten seconds into a step
    assert await sessions_of(services) == 2  # the enrollment's and the owner's


async def test_replay_of_the_code_that_confirmed_the_enrollment(api: Api, clock: Clock, services: Services) -> None:
    registered = await api.register()
    code = code_at(registered["enrollment"]["secret"], clock())
    assert (await api.verify_otp(registered["challenge"], code))["__typename"] == "EnrollmentConfirmed"

    at_once = await api.verify_otp(await api.challenge(), code)
    clock.advance(30)  # still inside the window
    later = await api.verify_otp(await api.challenge(), code)

    assert (at_once["__typename"], later["__typename"]) == ("OtpAlreadyUsed", "OtpAlreadyUsed")
    assert await sessions_of(services) == 1


@pytest.mark.parametrize("disguise", ["{} ", " {}", "{0[0]} {0[1]} {0[2]} {0[3]} {0[4]} {0[5]}", "\t{}\n", "\u2003{}"])
async def test_replay_of_a_code_in_another_spelling(api: Api, clock: Clock, services: Services, disguise: str) -> None:
    member = await api.member()
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "SignedIn"

    replayed = await api.verify_otp(await api.challenge(), disguise.format(code))

    assert replayed["__typename"] in {"OtpAlreadyUsed", "InvalidOtp"}
    assert await sessions_of(services) == 2


@pytest.mark.parametrize(("used", "older"), [(1, 0), (1, -1), (0, -1)])
async def test_replay_of_an_older_step_after_a_newer_one(
    api: Api, clock: Clock, services: Services, used: int, older: int
) -> None:
    """The older code is unused and inside the window: an attacker intercepted it."""
    member = await api.member()
    clock.advance(60)
    assert (await api.verify_otp(await api.challenge(), code_at(member.secret, clock(), used)))[
        "__typename"
    ] == "SignedIn"
    challenge = await api.challenge()

    held_back = await api.verify_otp(challenge, code_at(member.secret, clock(), older))

    assert held_back["__typename"] == "InvalidOtp"
    assert held_back["attemptsLeft"] == 4
    assert held_back["clockBehindSeconds"] is None
    assert await sessions_of(services) == 2


async def test_replay_at_any_later_time(api: Api, clock: Clock, services: Services) -> None:
    """Not at any later time, while the code leaves the window, and the steps that are looked back upon."""
    member = await api.member()
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "SignedIn"

    for _ in range(14):
        replayed = await api.verify_otp(await api.challenge(), code)
        assert replayed["__typename"] in {"OtpAlreadyUsed", "InvalidOtp", "RateLimited"}
        clock.advance(30)

    assert await sessions_of(services) == 2


async def test_replay_many_times(api: Api, clock: Clock, services: Services) -> None:
    """Each replay is counted on its challenge."""
    member = await api.member()
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "SignedIn"
    challenge = await api.challenge()

    answers = [(await api.verify_otp(challenge, code))["__typename"] for _ in range(6)]

    assert answers == ["OtpAlreadyUsed"] * 5 + ["ChallengeExpired"]
    assert await attempts_counted(services) == 5


async def test_replay_to_another_process_after_a_restart(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    """Accepted steps are stored in the database, not in the process."""
    async with run_app() as app:
        api = connect(app)
        member = await api.member()
        code = code_at(member.secret, clock())
        assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "SignedIn"

    async with run_app() as app:
        restarted = connect(app)
        replayed = await restarted.verify_otp(await restarted.challenge(), code)

    assert replayed["__typename"] == "OtpAlreadyUsed"


async def test_replay_does_not_block_the_owner(api: Api, clock: Clock) -> None:
    """After a replay the device's next code still signs in: the refused one moved nothing."""
    member = await api.member()
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "SignedIn"
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "OtpAlreadyUsed"
    await guess(api, member.secret)

    clock.advance(30)
    signed_in = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))

    assert signed_in["__typename"] == "SignedIn"
