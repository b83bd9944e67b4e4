"""Two servers on one database are one: a sign-in may change between them, and an attacker gains nothing by that."""

from tests.api_client import Api, Result
from tests.authenticator import code_at, wrong_code
from tests.conftest import on_each_engine
from tests.security.attacks import WRONG_PASSWORD, kinds, real_member

pytestmark = on_each_engine


async def test_a_sign_in_whose_every_step_goes_to_the_other_server(processes: list[Api], username: str) -> None:
    one, other = processes
    registered = await one.register(username)
    restarted = await other.restart_enrollment(registered["challenge"])
    secret = restarted["enrollment"]["secret"]
    confirmed = await one.verify_otp(restarted["challenge"], code_at(secret, one.clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    assert await other.me(confirmed["tokens"]["accessToken"]) == confirmed["user"]

    signed_in = await one.verify_otp(await other.challenge(username), code_at(secret, one.clock(), 1))
    assert signed_in["__typename"] == "SignedIn"
    for api in (other, one, other):
        signed_in = await api.refresh(signed_in["tokens"]["refreshToken"])
        assert signed_in["__typename"] == "SignedIn"
    assert await one.me(signed_in["tokens"]["accessToken"]) == confirmed["user"]

    recovered = await one.verify_recovery_code(await other.challenge(username), confirmed["recoveryCodes"][0])
    assert recovered["__typename"] == "SignedIn"
    user = await other.me(recovered["tokens"]["accessToken"])
    assert user == confirmed["user"] | {"recoveryCodesLeft": 9}
    assert (await one.logout(recovered["tokens"]["accessToken"], everywhere=True))["sessionsEnded"] == 3


async def test_password_guessing_at_the_other_server_once_one_refuses(processes: list[Api], username: str) -> None:
    one, other = processes
    assert kinds([await one.login(username, WRONG_PASSWORD) for _ in range(10)]) == {"InvalidCredentials": 10}
    assert (await other.login(username, WRONG_PASSWORD))["__typename"] == "RateLimited"


async def test_code_guessing_at_the_other_server_once_one_refuses(processes: list[Api], username: str) -> None:
    one, other = processes
    member = await real_member(one, username)

    async def guess(api: Api, challenge: Result) -> str:
        kind: str = (await api.verify_otp(challenge, wrong_code(member.secret, api.clock())))["__typename"]
        return kind

    used_up, open_still = await one.challenge(username), await one.challenge(username)
    assert [await guess(one, used_up) for _ in range(5)] == ["InvalidOtp"] * 5
    assert await guess(other, used_up) == "ChallengeExpired"
    assert await guess(other, open_still) == "RateLimited"


async def test_a_session_used_at_the_other_server_once_one_has_ended_it(processes: list[Api], username: str) -> None:
    one, other = processes
    member = await real_member(one, username)
    assert await other.me(member.access_token) is not None

    assert (await one.logout(member.access_token))["__typename"] == "LogoutSuccess"

    assert await other.me(member.access_token) is None
    assert (await other.refresh(member.refresh_token))["__typename"] == "SessionExpired"
    assert (await other.logout(member.access_token))["reason"] == "SESSION_ENDED"
