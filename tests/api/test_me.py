"""me."""

import pytest

from tests.api_client import ME, Api
from tests.clock import Clock

INVALID_TOKEN = 'Bearer error="invalid_token"'


async def test_a_signed_in_user_sees_their_account(api: Api) -> None:
    member = await api.member("Alice")
    me = await api.me(member.access_token)
    assert me == {
        "id": member.session["user"]["id"],
        "username": "Alice",
        "createdAt": "2026-01-01T00:00:10+00:00",
        "mfaEnabled": True,
        "recoveryCodesLeft": 10,
    }
    response = await api.send(ME, token=member.access_token)
    assert "WWW-Authenticate" not in response.headers


async def test_me_shows_the_current_state_of_the_account(api: Api) -> None:
    member = await api.member()
    await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    me = await api.me(member.access_token)
    assert me == member.session["user"] | {"recoveryCodesLeft": 9}


async def test_me_is_null_without_a_token_and_does_not_ask_to_refresh(api: Api) -> None:
    response = await api.send(ME)
    assert response.json() == {"data": {"me": None}}
    assert "WWW-Authenticate" not in response.headers


async def test_me_is_null_for_an_invalid_token_and_says_so(api: Api) -> None:
    response = await api.send(ME, token="nonsense")
    assert response.json() == {"data": {"me": None}}
    assert response.headers["WWW-Authenticate"] == INVALID_TOKEN


async def test_an_access_token_is_valid_for_ten_minutes(api: Api, clock: Clock) -> None:
    member = await api.member()
    clock.advance(600 - 30 - 1)  # the clock moved a step after the sign-in
    assert await api.me(member.access_token) == member.session["user"]
    clock.advance(1)
    response = await api.send(ME, token=member.access_token)
    assert response.json() == {"data": {"me": None}}
    assert response.headers["WWW-Authenticate"] == INVALID_TOKEN


async def test_the_token_of_an_ended_session_is_refused_at_once(api: Api) -> None:
    member = await api.member()
    await api.logout(refresh_token=member.refresh_token)
    response = await api.send(ME, token=member.access_token)
    assert response.json() == {"data": {"me": None}}
    assert response.headers["WWW-Authenticate"] == INVALID_TOKEN


@pytest.mark.parametrize("header", ["bearer {}", "BEARER   {}"])
async def test_the_authorization_scheme_is_case_insensitive(api: Api, header: str) -> None:
    member = await api.member()
    headers = {"Authorization": header.format(member.access_token)}
    response = await api.http.post("/graphql", json={"query": ME}, headers=headers)
    assert response.json() == {"data": {"me": member.session["user"]}}
