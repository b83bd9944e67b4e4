"""Attack: keep a session and its rights after the factor that opened it was removed or replaced."""

from uuid import UUID

import pytest
from sqlalchemy import func, select

from graphql_mfa.services import Services
from graphql_mfa.store.models import SessionRow
from tests.account import act
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.conftest import on_each_engine
from tests.devices import Added, confirmed, devices_of, first_device, remove
from tests.security.attacks import at_once, execute, kinds

STEP = 30


async def member_with_two_apps(api: Api) -> tuple[Member, Added]:
    """A member, whose session the first app opened, and another app. The next codes of both are unused."""
    member = await api.member()
    lost = await confirmed(api, member.access_token, "Lost phone")
    api.clock.advance(STEP)
    return member, lost


async def sign_in(api: Api, secret: str) -> Result:
    answer = await api.verify_otp(await api.challenge(), code_at(secret, api.clock()))
    tokens: Result = answer["tokens"]
    return tokens


async def verify_again(api: Api, token: str, **factor: str) -> Result:
    return await act(api, "reauthenticate", token, input=factor)


async def regenerate(api: Api, token: str) -> str:
    answer = await act(api, "regenerateRecoveryCodes", token)
    outcome: str = answer["__typename"]
    return outcome


async def lives(api: Api, tokens: Result) -> bool:
    return await api.me(tokens["accessToken"]) is not None


# ------------------------------------------------------------------------------------------------ other sessions


async def test_a_session_that_the_removed_app_opened_ends(api: Api) -> None:
    member, lost = await member_with_two_apps(api)
    thief = await sign_in(api, lost.secret)

    removed = await remove(api, member.access_token, lost.id)

    assert (removed["__typename"], removed["sessionsEnded"]) == ("FactorRemoved", 1)
    assert not await lives(api, thief)
    assert (await api.refresh(thief["refreshToken"]))["__typename"] == "SessionExpired"
    assert await lives(api, member.session["tokens"])


async def test_a_session_that_the_removed_app_verified_last_ends(api: Api) -> None:
    member, lost = await member_with_two_apps(api)
    thief = (await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0]))["tokens"]
    renewed = await verify_again(api, thief["accessToken"], otp=code_at(lost.secret, api.clock()))
    assert renewed["__typename"] == "Reauthenticated"

    assert (await remove(api, member.access_token, lost.id))["sessionsEnded"] == 1
    assert not await lives(api, thief)


async def test_sessions_of_other_factors_continue(api: Api, services: Services) -> None:
    """Also those of which it is not known, which an earlier version opened."""
    member, lost = await member_with_two_apps(api)
    unknown = await sign_in(api, lost.secret)
    await execute(services, "UPDATE mfa_sessions SET opened_by = NULL, verified_by = NULL")
    others = [
        unknown,
        await sign_in(api, member.secret),
        (await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0]))["tokens"],
    ]

    assert (await remove(api, member.access_token, lost.id))["sessionsEnded"] == 0
    assert [await lives(api, tokens) for tokens in others] == [True] * 3


async def test_sessions_of_other_users_continue(api: Api) -> None:
    member, lost = await member_with_two_apps(api)
    bob = await api.member("bob")
    await remove(api, member.access_token, lost.id)
    assert await lives(api, bob.session["tokens"])


@on_each_engine
async def test_race_of_a_sign_in_with_the_app_against_its_removal(api: Api, services: Services) -> None:
    """Whichever comes first: afterwards no session is there that it opened, but for the one that removed it."""
    member, lost = await member_with_two_apps(api)
    challenge = await api.challenge()
    thief = await sign_in(api, lost.secret)
    api.clock.advance(STEP)

    answers = await at_once(
        [
            api.refresh(thief["refreshToken"]),
            api.verify_otp(challenge, code_at(lost.secret, api.clock())),
            remove(api, member.access_token, lost.id),
        ]
    )

    assert kinds(answers)["FactorRemoved"] == 1
    opened = select(func.count()).where(SessionRow.opened_by == UUID(lost.id))
    assert await services.database.read(lambda connection: connection.scalar(opened)) == 0
    for answer in answers:
        if answer["__typename"] == "SignedIn":
            assert not await lives(api, answer["tokens"])


# ------------------------------------------------------------------------------------------- the session itself


async def test_a_session_that_removes_its_own_app_must_verify_another_factor(api: Api) -> None:
    member, other = await member_with_two_apps(api)
    assert (await remove(api, member.access_token, await first_device(api, member.access_token)))["sessionsEnded"] == 0

    assert await lives(api, member.session["tokens"])
    assert await regenerate(api, member.access_token) == "ReauthenticationRequired"
    refreshed = (await api.refresh(member.refresh_token))["tokens"]["accessToken"]
    assert await regenerate(api, refreshed) == "ReauthenticationRequired"
    renewed = await verify_again(api, refreshed, otp=code_at(other.secret, api.clock()))
    assert await regenerate(api, renewed["accessToken"]) == "RecoveryCodes"


async def test_a_session_that_verified_another_factor_since_stays_fresh(api: Api) -> None:
    member, other = await member_with_two_apps(api)
    first = await first_device(api, member.access_token)
    await verify_again(api, member.access_token, otp=code_at(other.secret, api.clock()))
    await remove(api, member.access_token, first)

    assert await regenerate(api, member.access_token) == "RecoveryCodes"
    assert len(await devices_of(api, member.access_token)) == 1


# ---------------------------------------------------------------------------------------------- recovery codes


@pytest.mark.parametrize("number", [0, 1], ids=["this one", "the other one"])
async def test_new_recovery_codes_make_the_other_sessions_stale(api: Api, number: int) -> None:
    member = await api.member()
    thief = (await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0]))["tokens"]
    sessions = [member.session["tokens"], thief]
    assert await regenerate(api, sessions[number]["accessToken"]) == "RecoveryCodes"

    assert [await lives(api, tokens) for tokens in sessions] == [True, True]
    fresh = [await act(api, "addTotpDevice", tokens["accessToken"], input={"name": "Tablet"}) for tokens in sessions]
    assert fresh[number]["__typename"] == "TotpDeviceAdded"
    assert fresh[1 - number]["__typename"] == "ReauthenticationRequired"
