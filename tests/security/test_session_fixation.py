"""Attack: keep a session or a challenge that still works after the owner has changed the password."""

from collections.abc import Awaitable, Callable

import pytest

from graphql_mfa.services import Services
from tests.account import act
from tests.api.scenarios import change_password, reauthenticate, reset_password
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.conftest import on_each_engine
from tests.security.attacks import real_member, scalar

Change = Callable[[Api, Member], Awaitable[Result]]


async def _change(api: Api, member: Member) -> Result:
    return await change_password(api, member.access_token)


async def _reset(api: Api, member: Member) -> Result:
    # Of the next time step, whichever clock the server has.
    code = code_at(member.secret, api.clock(), 1)
    return await reset_password(api, code, member.recovery_codes[9], member.username)


each_change = pytest.mark.parametrize("change", [_change, _reset], ids=["change", "reset"])


async def assert_dead(api: Api, session: Result, challenge: Result, code: str) -> None:
    """Nothing can be done with them any more."""
    tokens = session["tokens"]
    assert await api.me(tokens["accessToken"]) is None
    for mutation, arguments in (
        ("reauthenticate", {"input": {"recoveryCode": code}}),
        ("regenerateRecoveryCodes", {}),
        ("changePassword", {"input": {"currentPassword": "x", "newPassword": "nine otters row upstream"}}),
    ):
        answer = await act(api, mutation, tokens["accessToken"], **arguments)
        assert (answer["__typename"], answer["reason"]) == ("NotAuthenticated", "SESSION_ENDED")
    assert (await api.refresh(tokens["refreshToken"]))["__typename"] == "SessionExpired"
    assert (await api.verify_recovery_code(challenge, code))["__typename"] == "ChallengeExpired"
    assert (await api.restart_enrollment(challenge))["__typename"] == "ChallengeExpired"


@each_change
async def test_session_fixation_by_an_older_session_and_challenge(api: Api, services: Services, change: Change) -> None:
    member = await api.member()
    left = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    challenge = await api.challenge()

    assert (await change(api, member))["__typename"] == "PasswordChanged"

    await assert_dead(api, left, challenge, member.recovery_codes[1])
    assert await scalar(services, "SELECT count(*) FROM mfa_challenges") == 0


@on_each_engine
@each_change
async def test_session_fixation_at_another_process(processes: list[Api], username: str, change: Change) -> None:
    one, other = processes
    member = await real_member(one, username)
    left = await other.verify_recovery_code(await other.challenge(username), member.recovery_codes[0])
    challenge = await other.challenge(username)

    assert (await change(one, member))["__typename"] == "PasswordChanged"

    await assert_dead(other, left, challenge, member.recovery_codes[1])


async def test_session_fixation_by_an_older_refresh_token(api: Api) -> None:
    """The session that changes the password keeps its tokens; a traded-in token still ends it."""
    member = await api.member()
    refreshed = await api.refresh(member.refresh_token)
    assert (await change_password(api, refreshed["tokens"]["accessToken"]))["sessionsEnded"] == 0

    assert await api.me(refreshed["tokens"]["accessToken"]) is not None
    api.clock.advance(11)
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"
    assert await api.me(refreshed["tokens"]["accessToken"]) is None


async def test_session_fixation_by_a_stolen_session_that_changes_the_password_itself(api: Api) -> None:
    """It takes the current password, and a second factor that was verified lately."""
    member = await api.member()
    stolen = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    assert (await change_password(api, stolen["tokens"]["accessToken"], ""))["__typename"] == "InvalidCredentials"
    api.clock.advance(301)
    late = await change_password(api, stolen["tokens"]["accessToken"])
    assert late["__typename"] == "ReauthenticationRequired"
    assert (await api.login())["__typename"] == "OtpRequired"


async def test_a_stolen_session_does_not_block_other_sessions(api: Api) -> None:
    """Wrong current passwords count in the session that sends them: neither in the owner's nor at sign-in."""
    member = await api.member()
    stolen = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    for _ in range(10):
        await change_password(api, stolen["tokens"]["accessToken"], "wrong")
    refused = await change_password(api, stolen["tokens"]["accessToken"], "wrong")
    assert refused["__typename"] == "RateLimited"

    assert (await api.login())["__typename"] == "OtpRequired"
    renewed = await reauthenticate(api, member.access_token, recoveryCode=member.recovery_codes[1])
    assert (await change_password(api, renewed["accessToken"]))["__typename"] == "PasswordChanged"
