"""Attack: guess codes with a known password: on one challenge, on many, in parallel, for months."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import Connection, insert, select

from graphql_mfa.services import Services
from graphql_mfa.store.models import OtpFailureRow
from tests.api_client import Api, Member
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import (
    at_once,
    attempts_counted,
    attempts_on,
    failures_counted,
    guess,
    kinds,
    real_member,
    sessions_of,
)

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]


async def guess_wrong(api: Api, member: Member, times: int) -> None:
    """Wrong codes, each on a challenge of its own."""
    for _ in range(times):
        answer = await guess(api, member.secret)
        assert answer["__typename"] == "InvalidOtp", answer


async def sign_in(api: Api, member: Member) -> None:
    """The owner signs in; the clock then shows the next step."""
    answer = await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))
    assert answer["__typename"] == "SignedIn", answer
    api.clock.advance(30)


# ------------------------------------------------------------------------------------------------ on one challenge


async def test_guesses_on_one_challenge_end_it(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    await sign_in(api, member)
    challenge = await api.challenge()

    left = [(await guess(api, member.secret, challenge))["attemptsLeft"] for _ in range(5)]
    clock.advance(60)
    right = await api.verify_otp(challenge, code_at(member.secret, clock()))

    assert left == [4, 3, 2, 1, 0]
    assert right["__typename"] == "ChallengeExpired"
    assert await sessions_of(services) == 2


async def test_guesses_at_a_pending_enrollment_end_the_challenge(api: Api, clock: Clock) -> None:
    registered = await api.register()
    secret = registered["enrollment"]["secret"]

    left = [(await guess(api, secret, registered["challenge"]))["attemptsLeft"] for _ in range(5)]
    right = await api.verify_otp(registered["challenge"], code_at(secret, clock()))

    assert left == [4, 3, 2, 1, 0]
    assert right["__typename"] == "ChallengeExpired"


async def test_guesses_by_code_and_by_recovery_code_share_the_challenge(api: Api, clock: Clock) -> None:
    member = await api.member()
    challenge = await api.challenge()

    for _ in range(2):
        await guess(api, member.secret, challenge)
        await api.verify_recovery_code(challenge, "0000-0000-0000-0000-0000-0000")
    await guess(api, member.secret, challenge)

    assert (await api.verify_recovery_code(challenge, member.recovery_codes[0]))["__typename"] == "ChallengeExpired"
    assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] != "SignedIn"


@on_each_engine
async def test_parallel_guesses_on_one_challenge(api: Api, services: Services) -> None:
    """Counted before compared: fifty at once are five."""
    member = await api.member()
    challenge = await api.challenge()

    answers = kinds(await at_once(guess(api, member.secret, challenge) for _ in range(50)))

    assert answers["InvalidOtp"] == 5
    assert set(answers) == {"InvalidOtp", "ChallengeExpired"}
    assert await attempts_counted(services) == 5
    assert await failures_counted(services) == 5


@on_each_engine
async def test_parallel_guesses_on_one_pending_challenge(api: Api, services: Services) -> None:
    registered = await api.register()
    secret = registered["enrollment"]["secret"]

    answers = kinds(await at_once(guess(api, secret, registered["challenge"]) for _ in range(50)))

    assert answers["InvalidOtp"] == 5
    assert set(answers) == {"InvalidOtp", "ChallengeExpired"}
    assert await attempts_counted(services) == 5


@on_each_engine
async def test_parallel_guesses_over_ten_challenges(api: Api, services: Services) -> None:
    """The fifth in a row makes everybody wait, whichever challenge it was on."""
    member = await api.member()
    challenges = [await api.challenge() for _ in range(10)]

    answers = kinds(await at_once(guess(api, member.secret, challenge) for challenge in challenges * 5))

    assert answers == {"InvalidOtp": 5, "RateLimited": 45}
    assert await failures_counted(services) == 5


@on_each_engine
async def test_parallel_guesses_to_two_processes(processes: list[Api], username: str) -> None:
    api = processes[0]
    member = await real_member(api, username)
    challenge = await api.challenge(username)

    answers = kinds(await at_once(guess(client, member.secret, challenge) for client in processes * 25))

    assert answers["InvalidOtp"] == 5
    assert set(answers) == {"InvalidOtp", "ChallengeExpired"}


@on_each_engine
async def test_parallel_guesses_over_ten_challenges_to_two_processes(processes: list[Api], username: str) -> None:
    api = processes[0]
    member = await real_member(api, username)
    challenges = [await api.challenge(username) for _ in range(10)]

    answers = kinds(
        await at_once(
            guess(client, member.secret, challenge)
            for challenge, client in zip(challenges * 5, processes * 25, strict=True)
        )
    )

    assert answers == {"InvalidOtp": 5, "RateLimited": 45}


# ----------------------------------------------------------------------------------------- a new challenge for each


async def test_guesses_with_a_new_challenge_each(api: Api, clock: Clock) -> None:
    """From the fifth in a row each guess doubles the wait: 60 s to 1 h."""
    member = await api.member()
    await guess_wrong(api, member, 5)

    for wait in [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]:
        challenge = await api.challenge()
        assert challenge["otpRetryAfter"] == wait
        assert challenge["factors"] == ["RECOVERY_CODE"]
        refused = await guess(api, member.secret, challenge)
        assert (refused["__typename"], refused["retryAfter"]) == ("RateLimited", wait)
        clock.advance(wait - 1)
        assert (await guess(api, member.secret))["retryAfter"] == 1
        clock.advance(1)
        fresh = await api.challenge()
        assert fresh["otpRetryAfter"] is None
        assert fresh["factors"] == ["TOTP", "RECOVERY_CODE"]
        assert (await guess(api, member.secret, fresh))["__typename"] == "InvalidOtp"


async def test_guesses_during_the_wait_are_neither_counted_nor_compared(
    api: Api, clock: Clock, services: Services
) -> None:
    """No code is compared during the wait, and the wait does not grow, or it would never end."""
    member = await api.member()
    await guess_wrong(api, member, 5)
    challenge = await api.challenge()

    for _ in range(20):
        assert (await guess(api, member.secret, challenge))["__typename"] == "RateLimited"
        right = await api.verify_otp(challenge, code_at(member.secret, clock()))
        assert right["__typename"] == "RateLimited"
    clock.advance(60)

    assert await attempts_on(services, challenge) == 0
    assert await failures_counted(services) == 5
    assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"


async def test_guesses_from_another_address_wait_as_well(app: FastAPI, connect: Connect) -> None:
    api, other = connect(app), connect(app, "203.0.113.9")
    member = await api.member()
    await guess_wrong(api, member, 5)

    assert (await guess(other, member.secret))["__typename"] == "RateLimited"


async def test_guesses_with_a_right_password_in_between(api: Api) -> None:
    """A right password does not reset the count, since a guesser of codes knows it."""
    member = await api.member()
    for _ in range(4):
        await guess_wrong(api, member, 1)
        for _ in range(3):
            await api.challenge()
    await guess_wrong(api, member, 1)

    assert (await guess(api, member.secret))["retryAfter"] == 60


async def test_guesses_with_a_recovery_code_in_between(api: Api) -> None:
    """A recovery code is another factor: it ends neither the row of wrong one-time codes nor their wait."""
    member = await api.member()
    await guess_wrong(api, member, 4)
    signed_in = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    assert signed_in["__typename"] == "SignedIn"
    await guess_wrong(api, member, 1)

    assert (await guess(api, member.secret))["__typename"] == "RateLimited"
    again = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[1])
    assert again["__typename"] == "SignedIn"
    assert (await guess(api, member.secret))["__typename"] == "RateLimited"


async def test_guesses_are_consecutive_until_the_owner_signs_in(api: Api) -> None:
    member = await api.member()
    for _ in range(3):
        await guess_wrong(api, member, 4)
        await sign_in(api, member)

    await guess_wrong(api, member, 5)

    assert (await guess(api, member.secret))["retryAfter"] == 60


@pytest.mark.parametrize("behind", range(2, 11))
async def test_guesses_with_old_codes_are_counted(api: Api, clock: Clock, services: Services, behind: int) -> None:
    """A slow clock is reported, but the code still counts as wrong."""
    member = await api.member()
    clock.advance(600)

    answer = await api.verify_otp(await api.challenge(), code_at(member.secret, clock(), -behind))

    assert answer["__typename"] == "InvalidOtp"
    assert answer["clockBehindSeconds"] == 30 * behind
    assert await failures_counted(services) == 1
    assert await sessions_of(services) == 1


@pytest.mark.parametrize("steps", [-11, -12, 2, 3, 10])
async def test_guesses_with_future_codes_look_like_any_wrong_code(api: Api, clock: Clock, steps: int) -> None:
    """The answer must not reveal that a code will become valid, or was valid long ago."""
    member = await api.member()
    clock.advance(900)

    answer = await api.verify_otp(await api.challenge(), code_at(member.secret, clock(), steps))

    wrong = await guess(api, member.secret)
    assert answer["__typename"] == "InvalidOtp"
    assert answer == wrong


# -------------------------------------------------------------------------------------------------- for months


async def guess_for_long(api: Api, member: Member, times: int) -> None:
    """Wrong codes without a wait: after each four the owner signs in."""
    for number in range(times):
        if number and number % 4 == 0:
            await sign_in(api, member)
        await guess_wrong(api, member, 1)


async def test_hundred_guesses_disable_one_time_codes(api: Api, clock: Clock, services: Services) -> None:
    """A hundred within thirty days, although right passwords and right codes come in between."""
    member = await api.member()
    await guess_for_long(api, member, 99)
    await sign_in(api, member)
    await guess_wrong(api, member, 1)

    challenge = await api.challenge()
    answer = await api.verify_otp(challenge, code_at(member.secret, clock()))

    assert answer["__typename"] == "FactorDisabled"
    assert challenge["factors"] == ["RECOVERY_CODE"]
    assert await attempts_on(services, challenge) == 0
    # Waiting does not help.
    clock.advance(timedelta(days=365).total_seconds())
    late = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    assert late["__typename"] == "FactorDisabled"


async def test_hundred_guesses_leave_recovery_codes_enabled(run_app: RunApp, connect: Connect) -> None:
    async with run_app(otp_failures_before_disabling=3) as app:
        api = connect(app)
        member = await api.member()
        await guess_wrong(api, member, 3)
        assert (await guess(api, member.secret))["__typename"] == "FactorDisabled"

        signed_in = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])

        assert signed_in["__typename"] == "SignedIn"
        # This alone does not enable codes: the thief still knows the password.
        assert (await guess(api, member.secret))["__typename"] == "FactorDisabled"


def repeat_the_failure(connection: Connection) -> None:
    failure = connection.execute(select(OtpFailureRow.user_id, OtpFailureRow.at)).one()
    connection.execute(insert(OtpFailureRow), [{"id": uuid4(), **failure._mapping} for _ in range(98)])


@pytest.mark.parametrize(("days", "outcome"), [(29, "FactorDisabled"), (30, "SignedIn"), (31, "SignedIn")])
async def test_guesses_older_than_thirty_days(
    run_app: RunApp, connect: Connect, clock: Clock, days: int, outcome: str
) -> None:
    """Only failures within the window count."""
    async with run_app() as app:
        api, services = connect(app), app.state.services
        member = await api.member()
        await guess_wrong(api, member, 1)
        await sign_in(api, member)
        # The other 98 at the same instant, as 98 guesses would have left them.
        await services.database.write(repeat_the_failure)
        assert await failures_counted(services) == 99
        clock.advance(timedelta(days=days).total_seconds() - 30)

        await guess_wrong(api, member, 1)
        answer = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))

        assert answer["__typename"] == outcome


@on_each_engine
async def test_parallel_guesses_do_not_exceed_the_hundredth(
    run_app: RunApp, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphql_mfa.flows.limits.OTP_FAILURES_BEFORE_BACKOFF", 1000)
    async with run_app(otp_failures_before_disabling=7) as app:
        api = connect(app)
        member = await api.member()
        challenges = [await api.challenge() for _ in range(10)]

        answers = kinds(await at_once(guess(api, member.secret, challenge) for challenge in challenges * 5))

        assert answers["InvalidOtp"] == 7
        assert set(answers) <= {"InvalidOtp", "FactorDisabled", "ChallengeExpired"}
        right = await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))
        assert right["__typename"] == "FactorDisabled"


@on_each_engine
async def test_the_right_code_among_parallel_guesses(api: Api, clock: Clock, services: Services) -> None:
    """One of fifty is right: it opens one session at most, and leaves no second chance."""
    member = await api.member()
    challenge = await api.challenge()
    codes = [wrong_code(member.secret, clock())] * 25 + [code_at(member.secret, clock())] * 25

    answers = kinds(await at_once(api.verify_otp(challenge, code) for code in codes))

    assert answers["SignedIn"] <= 1
    assert answers["InvalidOtp"] <= 5
    assert await sessions_of(services) == 1 + answers["SignedIn"]
