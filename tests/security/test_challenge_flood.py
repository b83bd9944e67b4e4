"""Attack: challenges without end, to have more attempts or to push the owner's challenge out."""

from fastapi import FastAPI

from graphql_mfa.services import Services
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import WRONG_PASSWORD, at_once, kinds, scalar


async def open_challenges(services: Services) -> int:
    count: int = await scalar(services, "SELECT count(*) FROM mfa_challenges")
    return count


async def test_challenge_flood_ends_the_oldest(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    challenges = []
    for _ in range(11):
        challenges.append(await api.challenge())
        clock.advance(1)
    code = code_at(member.secret, clock())

    assert await open_challenges(services) == 10
    assert (await api.verify_otp(challenges[0], code))["__typename"] == "ChallengeExpired"
    assert (await api.verify_otp(challenges[1], code))["__typename"] == "SignedIn"


async def test_challenge_flood_at_one_instant(api: Api, services: Services) -> None:
    await api.member()
    for _ in range(30):
        await api.challenge()

    assert await open_challenges(services) == 10


@on_each_engine
async def test_parallel_challenge_flood(app: FastAPI, connect: Connect, services: Services) -> None:
    """Ten addresses, since attempts per address are limited."""
    apis = [connect(app, f"10.0.1.{number}") for number in range(10)]
    await apis[0].member()

    answers = kinds(await at_once(api.login() for api in apis * 5))

    assert answers["OtpRequired"] == 50
    assert await open_challenges(services) == 10


async def test_challenge_flood_of_one_user_does_not_affect_others(api: Api, clock: Clock) -> None:
    member = await api.member("alice")
    await api.member("mallory")
    challenge = await api.challenge("alice")
    for _ in range(20):
        await api.challenge("mallory")

    assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"


async def test_challenge_flood_by_a_stranger_without_the_password(
    app: FastAPI, connect: Connect, clock: Clock, services: Services
) -> None:
    """Wrong passwords issue no challenges, and so end none."""
    owner = connect(app)
    member = await owner.member()
    challenge = await owner.challenge()
    for number in range(40):
        stranger = connect(app, f"203.0.113.{number}")
        assert (await stranger.login(password=WRONG_PASSWORD))["__typename"] == "InvalidCredentials"
        forged = {"token": f"mfac_{number:043}"}
        assert (await stranger.verify_otp(forged, "000000"))["__typename"] == "ChallengeExpired"
        assert (await stranger.restart_enrollment(forged))["__typename"] == "ChallengeExpired"

    assert await open_challenges(services) == 1
    assert (await owner.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"


async def test_challenge_flood_after_expired_challenges(api: Api, services: Services) -> None:
    """Expired challenges don't count towards the maximum of open ones."""
    member = await api.member()
    for _ in range(3):
        await api.challenge()
    before = await open_challenges(services)
    api.clock.advance(301)
    for _ in range(10):
        await api.challenge()

    assert before == 3
    assert await open_challenges(services) == 10
    assert (await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock())))[
        "__typename"
    ] == "SignedIn"
