"""Attack: bury what happens to an account under events that take no factor of its owner, or only one."""

import asyncio
from collections import Counter

import pytest
from fastapi import FastAPI

from graphql_mfa import SecurityEvent
from graphql_mfa.flows.purging import purge
from graphql_mfa.services import Services
from tests.api.scenarios import RunApp
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import WAIT, Clock
from tests.conftest import Connect, on_each_engine
from tests.passkeys import PASSKEYS, sign_in
from tests.security.attacks import NO_RECOVERY_CODE, WRONG_PASSWORD, at_once, events_of, kinds, scalar
from tests.security.passkey_attacks import member_with_passkey

pytestmark = on_each_engine

MOST_PER_HOUR = 10
HOUR = 3600


async def guess_passwords(app: FastAPI, connect: Connect, number: int, name: str = "alice") -> None:
    """From as many addresses, so that none of them has to wait."""
    for place in range(number):
        answer = await connect(app, f"203.0.113.{place}").login(name, WRONG_PASSWORD)
        assert answer["__typename"] == "InvalidCredentials"


async def test_wrong_passwords_bury_no_other_event(
    app: FastAPI, connect: Connect, services: Services, clock: Clock
) -> None:
    api = connect(app)
    member = await api.member()
    before = await events_of(services)
    await guess_passwords(app, connect, 15)
    assert await events_of(services) == before

    await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    assert await events_of(services) == before + Counter(["SIGNED_IN", "PASSWORDS_REFUSED"])


@pytest.mark.parametrize("registered", [False, True], ids=["unknown", "abandoned"])
async def test_wrong_passwords_for_a_name_without_a_lasting_account_are_forgotten_soon(
    app: FastAPI, connect: Connect, services: Services, clock: Clock, registered: bool
) -> None:
    if registered:
        await connect(app).register("unknown")
    await guess_passwords(app, connect, 1, "unknown")
    clock.advance(2 * HOUR)
    await purge(services.database, services.settings, clock())
    assert await scalar(services, "SELECT count(*) FROM mfa_throttles") == 0


async def test_events_that_are_not_recorded_are_not_delivered(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    delivered: list[str] = []
    signed_in = asyncio.Event()

    async def on_event(event: SecurityEvent) -> None:
        delivered.append(event.kind)
        if delivered.count("SIGNED_IN") == 2:
            signed_in.set()

    async with run_app(on_event=on_event) as app:
        api = connect(app)
        member = await api.member()
        await api.refresh(member.refresh_token)
        for place in range(15):
            await connect(app, f"203.0.113.{place}").refresh(member.refresh_token)
        await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
        await asyncio.wait_for(signed_in.wait(), WAIT)  # events of an account are delivered in their order
    assert delivered.count("REFRESH_TOKEN_REUSED") == MOST_PER_HOUR


async def test_wrong_recovery_codes_are_recorded_ten_times_an_hour(
    app: FastAPI, connect: Connect, services: Services, clock: Clock
) -> None:
    """By the thief of the password, from as many addresses as there are limits to avoid."""
    await connect(app).member()
    for place in range(15):
        thief = connect(app, f"203.0.113.{place}")
        answer = await thief.verify_recovery_code(await thief.challenge(), NO_RECOVERY_CODE)
        assert answer["__typename"] == "InvalidRecoveryCode"
    assert (await events_of(services))["SIGN_IN_FAILED"] == MOST_PER_HOUR

    clock.advance(HOUR + 1)
    await thief.verify_recovery_code(await thief.challenge(), NO_RECOVERY_CODE)
    assert (await events_of(services))["SIGN_IN_FAILED"] == MOST_PER_HOUR + 1


async def test_a_used_refresh_token_sent_from_everywhere_is_recorded_ten_times_an_hour(
    app: FastAPI, connect: Connect, services: Services
) -> None:
    """Within the grace, in which it ends nothing."""
    member = await connect(app).member()
    await connect(app).refresh(member.refresh_token)
    for place in range(15):
        answer = await connect(app, f"203.0.113.{place}").refresh(member.refresh_token)
        assert answer["__typename"] == "SessionExpired"
    assert (await events_of(services))["REFRESH_TOKEN_REUSED"] == MOST_PER_HOUR


async def test_a_copied_passkey_that_signs_in_without_end_is_recorded_ten_times_an_hour(
    run_app: RunApp, connect: Connect
) -> None:
    """A synced one, whose copies are accepted."""
    async with run_app(**PASSKEYS) as app:
        api = connect(app)
        _, key = await member_with_passkey(api, counter=100, synced=True)
        for _ in range(15):
            key.counter = 1
            assert (await sign_in(api, key))["__typename"] == "SignedIn"
        assert (await events_of(app.state.services))["PASSKEY_COUNTER_REGRESSED"] == MOST_PER_HOUR


# --------------------------------------------------------------------------------------------------- a code seen


async def test_a_used_code_is_recorded_once_however_often_it_is_sent_again(
    api: Api, services: Services, clock: Clock
) -> None:
    member = await api.member()
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "SignedIn"
    for _ in range(4):
        challenge = await api.challenge()
        answers = [await api.verify_otp(challenge, code) for _ in range(6)]
        assert kinds(answers) == {"OtpAlreadyUsed": 5, "ChallengeExpired": 1}, "each is counted"
    assert (await events_of(services))["OTP_REPLAYED"] == 1

    clock.advance(30)
    code = code_at(member.secret, clock())
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "SignedIn"
    challenge = await api.challenge()
    await at_once(api.verify_otp(challenge, code) for _ in range(5))
    assert (await events_of(services))["OTP_REPLAYED"] == 2, "another code was accepted and sent again"


async def test_a_used_code_sent_many_times_at_once_is_recorded_once(api: Api, services: Services, clock: Clock) -> None:
    member = await api.member()
    code = code_at(member.secret, clock())
    challenges = [await api.challenge() for _ in range(5)]
    answers = await at_once(api.verify_otp(challenge, code) for challenge in challenges * 5)
    assert kinds(answers)["SignedIn"] == 1
    assert kinds(answers)["OtpAlreadyUsed"] > 1
    assert (await events_of(services))["OTP_REPLAYED"] == 1
