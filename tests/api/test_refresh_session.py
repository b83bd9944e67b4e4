"""refreshSession."""

import asyncio

import pytest
from fastapi import FastAPI

from tests.account import act
from tests.api.answers import failure, rate_limited
from tests.api.scenarios import NO_ID, NO_REFRESH_TOKEN, RunApp
from tests.api_client import REFRESH_SESSION, Api
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine

SESSION_EXPIRED = failure("SessionExpired")
RETRY_KEY = "0a6b5a31-2f5c-4c8e-9d61-0d9c2c7b8f10"


async def test_a_refresh_token_is_exchanged_for_a_new_pair(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(1000)
    refreshed = await api.refresh(member.refresh_token)
    tokens = refreshed["tokens"]
    assert refreshed == {
        "__typename": "SignedIn",
        "tokens": {
            "accessToken": tokens["accessToken"],
            "accessTokenExpiresAt": "2026-01-01T00:27:20+00:00",
            "accessTokenExpiresIn": 600,
            "refreshToken": tokens["refreshToken"],
            "refreshTokenExpiresAt": "2026-01-01T01:17:20+00:00",
        },
        "user": member.session["user"],
    }
    assert tokens["accessToken"] != member.access_token
    assert tokens["refreshToken"] != member.refresh_token
    assert await api.me(member.access_token) is None, "expired"
    assert await api.me(tokens["accessToken"]) == member.session["user"]


async def test_an_access_token_stays_valid_when_the_session_is_refreshed(api: Api) -> None:
    member = await api.member()
    await api.refresh(member.refresh_token)
    assert await api.me(member.access_token) == member.session["user"]


async def test_a_session_that_is_not_refreshed_for_an_hour_ends(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(3600 - 30 - 1)  # the clock moved a step after the sign-in
    refreshed = await api.refresh(member.refresh_token)
    assert refreshed["__typename"] == "SignedIn"
    clock.advance(3600)
    assert await api.refresh(refreshed["tokens"]["refreshToken"]) == SESSION_EXPIRED


async def test_an_unexpired_access_token_is_refused_when_its_session_has_ended(
    run_app: RunApp, connect: Connect, clock: Clock
) -> None:
    async with run_app(session_idle_seconds=60) as app:
        api = connect(app)
        member = await api.member()
        clock.advance(60 - 30 - 1)  # the clock moved a step after the sign-in
        assert await api.me(member.access_token) == member.session["user"]
        assert await act(api, "revokeSession", member.access_token, id=NO_ID) == failure("NotFound")
        clock.advance(1)
        assert await api.me(member.access_token) is None
        refused = await act(api, "revokeSession", member.access_token, id=NO_ID)
        assert (refused["__typename"], refused["reason"]) == ("NotAuthenticated", "SESSION_ENDED")


async def test_a_session_ends_after_a_day_however_often_it_is_refreshed(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(-30)
    the_end = "2026-01-02T00:00:10+00:00"
    tokens = member.session["tokens"]
    for _ in range(28):
        clock.advance(3000)
        tokens = (await api.refresh(tokens["refreshToken"]))["tokens"]
        assert tokens["refreshTokenExpiresAt"] <= the_end
        assert tokens["accessTokenExpiresIn"] == 600
    clock.advance(2100)
    tokens = (await api.refresh(tokens["refreshToken"]))["tokens"]
    assert tokens["refreshTokenExpiresAt"] == tokens["accessTokenExpiresAt"] == the_end
    assert tokens["accessTokenExpiresIn"] == 300
    clock.advance(300)
    assert await api.me(tokens["accessToken"]) is None
    assert await api.refresh(tokens["refreshToken"]) == SESSION_EXPIRED


async def test_a_refresh_repeated_within_ten_seconds_returns_the_same_pair(api: Api, clock: Clock) -> None:
    member = await api.member()
    first = await api.refresh(member.refresh_token)
    clock.advance(10)
    again = await api.refresh(member.refresh_token)
    first["tokens"]["accessTokenExpiresIn"] = 590
    assert again == first


async def test_two_tabs_that_refresh_at_once_get_the_same_pair(api: Api) -> None:
    member = await api.member()
    one, other = await asyncio.gather(*(api.refresh(member.refresh_token) for _ in range(2)))
    assert one["__typename"] == "SignedIn"
    assert one == other


async def test_a_traded_in_token_ends_the_session_after_ten_seconds(api: Api, clock: Clock) -> None:
    member = await api.member()
    tokens = (await api.refresh(member.refresh_token))["tokens"]
    clock.advance(11)
    assert await api.refresh(member.refresh_token) == SESSION_EXPIRED
    assert await api.refresh(tokens["refreshToken"]) == SESSION_EXPIRED
    assert await api.me(tokens["accessToken"]) is None


@on_each_engine
async def test_a_retry_key_repeats_a_refresh_an_hour_later_from_another_address(
    app: FastAPI, connect: Connect, clock: Clock
) -> None:
    """A lid was closed, or Wi-Fi changed to cellular."""
    home, elsewhere = connect(app), connect(app, "203.0.113.9")
    elsewhere.http.headers["User-Agent"] = "the app, updated"
    member = await home.member()
    lost = (await home.refresh(member.refresh_token, RETRY_KEY))["tokens"]
    clock.advance(3599)

    tokens = (await elsewhere.refresh(member.refresh_token, RETRY_KEY))["tokens"]

    assert tokens["refreshToken"] == lost["refreshToken"]
    assert tokens["accessTokenExpiresIn"] == 600
    assert await elsewhere.me(tokens["accessToken"]) == member.session["user"]
    clock.advance(3599)
    assert (await elsewhere.refresh(tokens["refreshToken"]))["__typename"] == "SignedIn", "the retry was a use"


async def test_a_refresh_can_be_repeated_twice(api: Api, clock: Clock) -> None:
    member = await api.member()
    answers = []
    for seconds in (12, 600, 600):
        answers.append(await api.refresh(member.refresh_token, RETRY_KEY))
        clock.advance(seconds)
    assert len({answer["tokens"]["refreshToken"] for answer in answers}) == 1


async def test_a_retry_key_is_valid_for_an_hour(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(access_token_seconds=7200, session_idle_seconds=7200) as app:
        api = connect(app)
        member = await api.member()
        tokens = (await api.refresh(member.refresh_token, RETRY_KEY))["tokens"]
        clock.advance(3600)
        assert (await api.refresh(member.refresh_token, RETRY_KEY))["tokens"]["refreshToken"] == tokens["refreshToken"]
        clock.advance(1)
        assert await api.refresh(member.refresh_token, RETRY_KEY) == SESSION_EXPIRED
        assert await api.me(tokens["accessToken"]) is None


async def test_a_repeated_refresh_updates_the_address_of_the_session(
    app: FastAPI, connect: Connect, clock: Clock
) -> None:
    home, elsewhere = connect(app), connect(app, "203.0.113.9")
    member = await home.member()
    await home.refresh(member.refresh_token, RETRY_KEY)
    clock.advance(60)
    token = (await elsewhere.refresh(member.refresh_token, RETRY_KEY))["tokens"]["accessToken"]
    me = await elsewhere.run("{ me { sessions { ipAddress } } }", token=token)
    assert me["sessions"] == [{"ipAddress": "203.0.113.9"}]


async def test_a_current_token_rotates_even_if_the_client_reuses_its_retry_key(api: Api, clock: Clock) -> None:
    token = (await api.member()).refresh_token
    tokens = {token}
    for _ in range(3):
        token = (await api.refresh(token, RETRY_KEY))["tokens"]["refreshToken"]
        clock.advance(60)
        tokens.add(token)
    assert len(tokens) == 4


async def test_a_retry_key_of_wrong_length_is_refused_first(api: Api, clock: Clock, subtests: pytest.Subtests) -> None:
    member = await api.member()
    for key, code in [("", "TOO_SHORT"), ("k" * 15, "TOO_SHORT"), ("k" * 129, "TOO_LONG")]:
        with subtests.test(length=len(key)):
            refused = await api.refresh(member.refresh_token, key)
            problem = {"field": "retryKey", "code": code, "message": "A retry key has 16 to 128 characters."}
            assert (refused["__typename"], refused["fields"]) == ("InvalidInput", [problem])
    for key in ("k" * 16, "\N{KEY}" * 128):
        with subtests.test(length=len(key)):
            tokens = (await api.refresh(member.refresh_token, key))["tokens"]
            clock.advance(60)
            repeated = (await api.refresh(member.refresh_token, key))["tokens"]
            assert repeated["refreshToken"] == tokens["refreshToken"]
            member.session["tokens"] = tokens


async def test_a_refresh_without_a_token_returns_session_expired(api: Api, subtests: pytest.Subtests) -> None:
    for variables in [None, {}, {"input": None}]:
        with subtests.test(variables=variables):
            assert await api.run(REFRESH_SESSION, variables) == SESSION_EXPIRED


async def test_a_missing_token_is_not_counted_as_a_guess(run_app: RunApp, connect: Connect) -> None:
    """A page without a session asks once whenever it is loaded."""
    async with run_app(refresh_attempts=1) as app:
        api = connect(app)
        assert [await api.run(REFRESH_SESSION) for _ in range(3)] == [SESSION_EXPIRED] * 3
        assert await api.refresh(NO_REFRESH_TOKEN) == SESSION_EXPIRED


async def test_an_unknown_token_has_no_session(api: Api, subtests: pytest.Subtests) -> None:
    for token in ["", "nonsense", NO_REFRESH_TOKEN]:
        with subtests.test(token=token):
            assert await api.refresh(token) == SESSION_EXPIRED


async def test_refused_tokens_are_limited_per_address_and_valid_ones_still_work(
    app: FastAPI, connect: Connect, clock: Clock
) -> None:
    api, elsewhere = connect(app), connect(app, "10.0.0.2")
    member = await api.member()
    for _ in range(30):
        assert await api.refresh(NO_REFRESH_TOKEN) == SESSION_EXPIRED
    clock.advance(100)
    assert await api.refresh(NO_REFRESH_TOKEN) == rate_limited(200)
    assert (await api.refresh(member.refresh_token))["__typename"] == "SignedIn"
    assert await elsewhere.refresh(NO_REFRESH_TOKEN) == SESSION_EXPIRED
    clock.advance(200)
    assert await api.refresh(NO_REFRESH_TOKEN) == SESSION_EXPIRED
