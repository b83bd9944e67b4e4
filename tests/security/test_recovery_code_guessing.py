"""Attack: use a recovery code twice, or guess one, or keep its owner from using one."""

import pytest
from fastapi import FastAPI

from graphql_mfa.services import Services
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import (
    NO_RECOVERY_CODE,
    at_once,
    attempts_on,
    guess,
    kinds,
    real_member,
    scalar,
    sessions_of,
)


async def codes_left(services: Services) -> int:
    count: int = await scalar(services, "SELECT count(*) FROM mfa_recovery_codes")
    return count


async def test_recovery_code_is_used_twice(api: Api, services: Services) -> None:
    member = await api.member()
    first = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    assert first["__typename"] == "SignedIn"
    assert first["user"]["recoveryCodesLeft"] == 9

    for spelling in (member.recovery_codes[0], member.recovery_codes[0].lower().replace("-", " ")):
        again = await api.verify_recovery_code(await api.challenge(), spelling)
        assert again["__typename"] == "InvalidRecoveryCode"

    assert await sessions_of(services) == 2
    assert await codes_left(services) == 9


@on_each_engine
async def test_recovery_code_in_parallel_on_one_challenge(api: Api, services: Services) -> None:
    member = await api.member()
    challenge = await api.challenge()

    answers = kinds(await at_once(api.verify_recovery_code(challenge, member.recovery_codes[0]) for _ in range(50)))

    assert answers == {"SignedIn": 1, "ChallengeExpired": 49}
    assert await sessions_of(services) == 2
    assert await codes_left(services) == 9


@on_each_engine
async def test_recovery_code_in_parallel_on_ten_challenges(app: FastAPI, connect: Connect, services: Services) -> None:
    """From ten addresses, so that the limit of an address does not hide a race."""
    apis = [connect(app, f"203.0.113.{number}") for number in range(10)]
    member = await apis[0].member()
    challenges = [await api.challenge() for api in apis]

    answers = kinds(
        await at_once(
            api.verify_recovery_code(challenge, member.recovery_codes[0])
            for _ in range(5)
            for api, challenge in zip(apis, challenges, strict=True)
        )
    )

    assert answers["SignedIn"] == 1
    assert set(answers) <= {"SignedIn", "InvalidRecoveryCode", "ChallengeExpired"}
    assert await sessions_of(services) == 2
    assert await codes_left(services) == 9


@on_each_engine
async def test_all_recovery_codes_in_parallel(app: FastAPI, connect: Connect, services: Services) -> None:
    """Ten codes on ten challenges, five times each: ten sessions, no more."""
    apis = [connect(app, f"203.0.113.{number}") for number in range(10)]
    member = await apis[0].member()
    challenges = [await api.challenge() for api in apis]

    answers = kinds(
        await at_once(
            api.verify_recovery_code(challenge, code)
            for _ in range(5)
            for api, challenge, code in zip(apis, challenges, member.recovery_codes, strict=True)
        )
    )

    assert answers["SignedIn"] == 10
    assert await sessions_of(services) == 11
    assert await codes_left(services) == 0


@on_each_engine
async def test_recovery_code_in_parallel_to_two_processes(processes: list[Api], username: str) -> None:
    api = processes[0]
    member = await real_member(api, username)
    challenges = [await api.challenge(username) for _ in range(10)]

    answers = await at_once(
        client.verify_recovery_code(challenge, member.recovery_codes[0])
        for challenge, client in zip(challenges * 5, processes * 25, strict=True)
    )

    assert kinds(answers)["SignedIn"] == 1
    assert (await api.logout(member.access_token, everywhere=True))["sessionsEnded"] == 2


@on_each_engine
async def test_recovery_code_and_one_time_code_on_one_challenge(api: Api, clock: Clock, services: Services) -> None:
    """Two right answers of different kinds to one question, at once: one session."""
    member = await api.member()
    challenge = await api.challenge()
    code = code_at(member.secret, clock())

    answers = kinds(
        await at_once(
            [
                *(api.verify_otp(challenge, code) for _ in range(25)),
                *(api.verify_recovery_code(challenge, member.recovery_codes[0]) for _ in range(25)),
            ]
        )
    )

    assert answers["SignedIn"] == 1
    assert await sessions_of(services) == 2


async def test_recovery_code_guesses_are_limited_but_not_for_the_owner(
    app: FastAPI, connect: Connect, clock: Clock, services: Services
) -> None:
    """Ten per account and address. A thief of the password can't close this way in."""
    owner, thief = connect(app), connect(app, "203.0.113.9")
    member = await owner.member()
    for _ in range(2):
        challenge = await thief.challenge()
        for _ in range(5):
            answer = await thief.verify_recovery_code(challenge, NO_RECOVERY_CODE)
            assert answer["__typename"] == "InvalidRecoveryCode"

    challenge = await thief.challenge()
    limited = await thief.verify_recovery_code(challenge, member.recovery_codes[0])

    assert limited["__typename"] == "RateLimited"
    assert limited["retryAfter"] == 300
    assert await attempts_on(services, challenge) == 0
    assert await codes_left(services) == 10
    signed_in = await owner.verify_recovery_code(await owner.challenge(), member.recovery_codes[0])
    assert signed_in["__typename"] == "SignedIn"
    clock.advance(299)
    assert (await thief.verify_recovery_code(challenge, NO_RECOVERY_CODE))["retryAfter"] == 1
    clock.advance(1)
    fresh = await thief.challenge()
    assert (await thief.verify_recovery_code(fresh, NO_RECOVERY_CODE))["__typename"] == "InvalidRecoveryCode"


@on_each_engine
async def test_recovery_code_guesses_in_parallel(app: FastAPI, connect: Connect) -> None:
    api = connect(app)
    await api.member()
    challenges = [await api.challenge() for _ in range(10)]

    answers = kinds(
        await at_once(api.verify_recovery_code(challenge, NO_RECOVERY_CODE) for challenge in challenges * 5)
    )

    assert answers == {"InvalidRecoveryCode": 10, "RateLimited": 40}


async def test_recovery_code_guesses_on_one_challenge_end_it(api: Api, services: Services) -> None:
    member = await api.member()
    challenge = await api.challenge()

    left = [(await api.verify_recovery_code(challenge, NO_RECOVERY_CODE))["attemptsLeft"] for _ in range(5)]
    right = await api.verify_recovery_code(challenge, member.recovery_codes[0])

    assert left == [4, 3, 2, 1, 0]
    assert right["__typename"] == "ChallengeExpired"
    assert await codes_left(services) == 10


async def test_recovery_code_guesses_do_not_block_one_time_codes(api: Api, clock: Clock) -> None:
    member = await api.member()
    for _ in range(2):
        challenge = await api.challenge()
        for _ in range(5):
            await api.verify_recovery_code(challenge, NO_RECOVERY_CODE)

    signed_in = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))

    assert signed_in["__typename"] == "SignedIn"


async def test_recovery_code_works_while_one_time_codes_wait(api: Api) -> None:
    """Otherwise wrong one-time codes would keep the owner out."""
    member = await api.member()
    for _ in range(5):
        await guess(api, member.secret)
    assert (await guess(api, member.secret))["__typename"] == "RateLimited"

    signed_in = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])

    assert signed_in["__typename"] == "SignedIn"


@pytest.mark.parametrize(
    "change",
    [
        lambda code: code[:-1],
        lambda code: code + "0",
        lambda code: code[:-1] + ("0" if code[-1] != "0" else "1"),
        lambda code: code[::-1],
        lambda code: f"{code}\0",
        lambda code: "".join(chr(ord(character) + 0xFEE0) for character in code),
        lambda code: f"{code}{code}",
        lambda code: f"{code}{' ' * 228}",
        lambda _: "",
        lambda _: "%",
        lambda _: "' OR 1=1 --",
    ],
)
async def test_recovery_code_that_is_nearly_right(api: Api, services: Services, change: object) -> None:
    assert callable(change)
    member = await api.member()

    answer = await api.verify_recovery_code(await api.challenge(), change(member.recovery_codes[0]))

    assert answer["__typename"] == "InvalidRecoveryCode"
    assert answer["attemptsLeft"] == 4
    assert await sessions_of(services) == 1
    assert await codes_left(services) == 10
