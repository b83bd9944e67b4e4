"""Attack: refresh a stale session with another user's codes or another session's verification."""

from graphql_mfa.services import Services
from tests.account import act, user_of
from tests.api.scenarios import reauthenticate
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.security.attacks import events_of, scalar


async def is_stale(api: Api, token: str) -> bool:
    made = await act(api, "regenerateRecoveryCodes", token)
    return bool(made["__typename"] == "ReauthenticationRequired")


async def test_reauthentication_with_another_users_one_time_code(api: Api, services: Services, clock: Clock) -> None:
    alice, mallory = await api.member("alice"), await api.member("mallory")
    clock.advance(300)
    code = code_at(mallory.secret, clock())

    answer = await reauthenticate(api, alice.access_token, otp=code)

    assert answer["__typename"] == "InvalidOtp"
    assert await is_stale(api, alice.access_token)
    # It is counted against the session's user, and still good for its own.
    assert (
        await scalar(services, "SELECT username FROM mfa_users JOIN mfa_otp_failures ON mfa_users.id = user_id")
        == "alice"
    )
    assert (await reauthenticate(api, mallory.access_token, otp=code))["__typename"] == "Reauthenticated"


async def test_reauthentication_with_another_users_recovery_code(api: Api, services: Services, clock: Clock) -> None:
    alice, mallory = await api.member("alice"), await api.member("mallory")
    clock.advance(300)

    answer = await reauthenticate(api, alice.access_token, recoveryCode=mallory.recovery_codes[0])

    assert answer["__typename"] == "InvalidRecoveryCode"
    assert await is_stale(api, alice.access_token)
    assert (await user_of(api, mallory.access_token))["recoveryCodesLeft"] == 10
    assert (await events_of(services, "mallory"))["SIGN_IN_FAILED"] == 0


async def test_reauthentication_of_another_session_of_the_same_user(api: Api, clock: Clock) -> None:
    """A thief's session does not become fresh by its owner's code at another one."""
    member = await api.member()
    stolen = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    clock.advance(301)

    renewed = await reauthenticate(api, member.access_token, otp=code_at(member.secret, clock()))

    assert not await is_stale(api, renewed["accessToken"])
    assert await is_stale(api, stolen["tokens"]["accessToken"])


async def test_reauthentication_with_the_code_that_is_meant_for_a_challenge(api: Api, clock: Clock) -> None:
    """One code answers one question: the session or the challenge."""
    member = await api.member()
    challenge, code = await api.challenge(), code_at(member.secret, clock())

    assert (await reauthenticate(api, member.access_token, otp=code))["__typename"] == "Reauthenticated"

    assert (await api.verify_otp(challenge, code))["__typename"] == "OtpAlreadyUsed"
