"""Attack: one code, sent many times at once, so that one request reads before another has written."""

from fastapi import FastAPI

from graphql_mfa.services import Services
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import at_once, kinds, real_member, scalar, sessions_of

pytestmark = on_each_engine

LOSERS = {"ChallengeExpired", "OtpAlreadyUsed"}


async def test_parallel_replay_of_one_challenge(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    challenge, code = await api.challenge(), code_at(member.secret, clock())

    answers = kinds(await at_once(api.verify_otp(challenge, code) for _ in range(50)))

    assert answers["SignedIn"] == 1
    assert set(answers) <= LOSERS | {"SignedIn"}
    assert await sessions_of(services) == 2


async def test_parallel_replay_over_ten_challenges(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    challenges, code = [await api.challenge() for _ in range(10)], code_at(member.secret, clock())

    answers = kinds(await at_once(api.verify_otp(challenge, code) for challenge in challenges * 5))

    assert answers["SignedIn"] == 1
    assert set(answers) <= LOSERS | {"SignedIn"}
    assert await sessions_of(services) == 2


async def test_parallel_replay_from_ten_addresses(
    app: FastAPI, connect: Connect, clock: Clock, services: Services
) -> None:
    everywhere = [connect(app, f"203.0.113.{number}") for number in range(10)]
    member = await everywhere[0].member()
    challenges, code = [await api.challenge() for api in everywhere], code_at(member.secret, clock())

    answers = kinds(
        await at_once(
            api.verify_otp(challenge, code)
            for _ in range(5)
            for api, challenge in zip(everywhere, challenges, strict=True)
        )
    )

    assert answers["SignedIn"] == 1
    assert set(answers) <= LOSERS | {"SignedIn"}
    assert await sessions_of(services) == 2


async def test_parallel_replay_of_neighbouring_codes(api: Api, clock: Clock, services: Services) -> None:
    """Three codes are right at once. Steps only go up: as many sessions as steps at most, and none twice."""
    member = await api.member()
    clock.advance(60)
    challenges = [await api.challenge() for _ in range(9)]
    codes = [code_at(member.secret, clock(), steps) for steps in (-1, 0, 1)] * 3

    answers = kinds(
        await at_once(
            api.verify_otp(challenge, code) for _ in range(5) for challenge, code in zip(challenges, codes, strict=True)
        )
    )

    assert 1 <= answers["SignedIn"] <= 3
    assert await sessions_of(services) == 1 + answers["SignedIn"]


async def test_parallel_replay_of_the_enrollment_code(api: Api, clock: Clock, services: Services) -> None:
    registered = await api.register()
    code = code_at(registered["enrollment"]["secret"], clock())
    challenges = [registered["challenge"], *[await api.challenge() for _ in range(9)]]

    answers = kinds(await at_once(api.verify_otp(challenge, code) for challenge in challenges * 5))

    assert answers["EnrollmentConfirmed"] == 1
    assert set(answers) <= LOSERS | {"EnrollmentConfirmed"}
    assert await sessions_of(services) == 1
    assert await scalar(services, "SELECT count(*) FROM mfa_recovery_codes") == 10


async def test_parallel_replay_to_two_processes(processes: list[Api], username: str) -> None:
    api = processes[0]
    member = await real_member(api, username)
    challenge, code = await api.challenge(username), code_at(member.secret, api.clock(), 1)

    answers = await at_once(client.verify_otp(challenge, code) for client in processes * 25)

    assert kinds(answers)["SignedIn"] == 1
    assert set(kinds(answers)) <= LOSERS | {"SignedIn"}
    assert (await api.logout(member.access_token, everywhere=True))["sessionsEnded"] == 2


async def test_parallel_replay_over_ten_challenges_to_two_processes(processes: list[Api], username: str) -> None:
    api = processes[0]
    member = await real_member(api, username)
    challenges = [await api.challenge(username) for _ in range(10)]
    code = code_at(member.secret, api.clock(), 1)

    answers = await at_once(
        client.verify_otp(challenge, code) for challenge, client in zip(challenges * 5, processes * 25, strict=True)
    )

    assert kinds(answers)["SignedIn"] == 1
    assert set(kinds(answers)) <= LOSERS | {"SignedIn"}
    assert (await api.logout(member.access_token, everywhere=True))["sessionsEnded"] == 2


async def test_parallel_replay_of_the_enrollment_code_to_two_processes(processes: list[Api], username: str) -> None:
    api = processes[0]
    registered = await api.register(username)
    code = code_at(registered["enrollment"]["secret"], api.clock())

    answers = await at_once(client.verify_otp(registered["challenge"], code) for client in processes * 25)

    assert kinds(answers)["EnrollmentConfirmed"] == 1
    (winner,) = [answer for answer in answers if answer["__typename"] == "EnrollmentConfirmed"]
    assert (await api.logout(winner["tokens"]["accessToken"], everywhere=True))["sessionsEnded"] == 1
