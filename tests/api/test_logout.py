"""logout."""

import asyncio

import pytest

from tests.api.answers import failure
from tests.api.scenarios import NO_REFRESH_TOKEN
from tests.api_client import LOGOUT, Api, Result
from tests.authenticator import code_at
from tests.clock import Clock

ONE_ENDED = {"__typename": "LogoutSuccess", "sessionsEnded": 1}


def not_authenticated(reason: str) -> Result:
    return failure("NotAuthenticated", reason=reason)


async def second_session(api: Api, secret: str) -> Result:
    """The tokens of one more session."""
    signed_in = await api.verify_otp(await api.challenge(), code_at(secret, api.clock()))
    tokens: Result = signed_in["tokens"]
    return tokens


async def test_an_access_token_ends_its_session_and_no_other(api: Api) -> None:
    member = await api.member()
    other = await second_session(api, member.secret)
    assert await api.logout(member.access_token) == ONE_ENDED
    assert await api.me(member.access_token) is None
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"
    assert await api.me(other["accessToken"]) == member.session["user"]


async def test_a_valid_access_token_takes_precedence_over_the_refresh_token_of_another_session(api: Api) -> None:
    member = await api.member()
    other = await second_session(api, member.secret)
    assert await api.logout(member.access_token, refresh_token=other["refreshToken"]) == ONE_ENDED
    assert await api.me(member.access_token) is None
    assert await api.me(other["accessToken"]) == member.session["user"]


async def test_a_refresh_token_alone_ends_its_session(api: Api) -> None:
    member = await api.member()
    assert await api.logout(refresh_token=member.refresh_token) == ONE_ENDED
    assert await api.me(member.access_token) is None


async def test_a_refresh_token_logs_out_when_the_access_token_has_expired(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(600)
    assert await api.logout(member.access_token) == not_authenticated("TOKEN_EXPIRED")
    assert await api.logout(member.access_token, refresh_token=member.refresh_token) == ONE_ENDED
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"


async def test_a_traded_in_refresh_token_ends_its_session_too(api: Api) -> None:
    member = await api.member()
    tokens = (await api.refresh(member.refresh_token))["tokens"]
    assert await api.logout(refresh_token=member.refresh_token) == ONE_ENDED
    assert await api.me(tokens["accessToken"]) is None


async def test_everywhere_with_a_traded_in_refresh_token_ends_only_its_session(
    api: Api,
) -> None:
    """The holder of an old token may be a thief, who must not end sessions of the owner on other devices."""
    member = await api.member()
    second = await second_session(api, member.secret)
    tokens = (await api.refresh(member.refresh_token))["tokens"]
    assert await api.logout(refresh_token=member.refresh_token, everywhere=True) == ONE_ENDED
    assert await api.me(tokens["accessToken"]) is None
    assert (await api.refresh(tokens["refreshToken"]))["__typename"] == "SessionExpired"
    assert await api.me(second["accessToken"]) == member.session["user"]


async def test_everywhere_with_the_current_refresh_token_ends_all_sessions(api: Api) -> None:
    member = await api.member()
    await second_session(api, member.secret)
    tokens = (await api.refresh(member.refresh_token))["tokens"]
    ended = await api.logout(refresh_token=tokens["refreshToken"], everywhere=True)
    assert ended == {"__typename": "LogoutSuccess", "sessionsEnded": 2}


@pytest.mark.parametrize("by", ["access token", "refresh token"])
async def test_everywhere_ends_all_sessions_of_this_user_only(api: Api, by: str) -> None:
    member, other = await api.member(), await api.member("bob")
    second = await second_session(api, member.secret)
    token, refresh_token = (member.access_token, None) if by == "access token" else (None, member.refresh_token)
    ended = await api.logout(token, refresh_token=refresh_token, everywhere=True)
    assert ended == {"__typename": "LogoutSuccess", "sessionsEnded": 2}
    assert await api.me(second["accessToken"]) is None
    assert await api.me(other.access_token) == other.session["user"]


async def test_an_expired_session_is_not_counted_as_ended(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(3600)
    second = await second_session(api, member.secret)
    assert await api.logout(second["accessToken"], everywhere=True) == ONE_ENDED


async def test_one_of_several_parallel_logouts_ends_the_session(api: Api) -> None:
    member = await api.member()
    answers = await asyncio.gather(*(api.logout(member.access_token) for _ in range(5)))
    assert answers.count(ONE_ENDED) == 1
    assert answers.count(not_authenticated("SESSION_ENDED")) == 4


async def test_logout_without_a_token_ends_no_session(api: Api) -> None:
    assert await api.logout() == not_authenticated("TOKEN_MISSING")
    assert await api.logout(refresh_token="") == not_authenticated("TOKEN_MISSING")


async def test_a_malformed_token_is_invalid(api: Api) -> None:
    assert await api.logout("nonsense") == not_authenticated("TOKEN_INVALID")
    assert await api.logout(refresh_token="nonsense") == not_authenticated("TOKEN_INVALID")


async def test_tokens_of_an_ended_session_return_session_expired(api: Api) -> None:
    member = await api.member()
    await api.logout(member.access_token)
    assert await api.logout(member.access_token) == not_authenticated("SESSION_ENDED")
    assert await api.logout(refresh_token=member.refresh_token) == not_authenticated("SESSION_ENDED")
    assert await api.logout(refresh_token=NO_REFRESH_TOKEN) == not_authenticated("SESSION_ENDED")


async def test_the_refresh_token_of_an_expired_session_returns_session_expired(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(3600)
    assert await api.logout(refresh_token=member.refresh_token) == not_authenticated("SESSION_ENDED")


@pytest.mark.parametrize("seconds", [600, 4000])
async def test_logout_with_an_expired_access_token_asks_the_client_to_refresh(
    api: Api, clock: Clock, seconds: int
) -> None:
    """Or it would take the user for signed out while the session lives on."""
    member = await api.member()
    clock.advance(seconds)
    response = await api.send(LOGOUT, token=member.access_token)
    assert response.json()["data"]["logout"]["__typename"] == "NotAuthenticated"
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def test_logout_without_a_token_does_not_ask_the_client_to_refresh(api: Api) -> None:
    response = await api.send(LOGOUT)
    assert response.json()["data"]["logout"]["__typename"] == "NotAuthenticated"
    assert "WWW-Authenticate" not in response.headers
