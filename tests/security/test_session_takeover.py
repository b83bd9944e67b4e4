"""Attack: use an ended session, or another user's session."""

from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI

from graphql_mfa.services import Services
from tests.api_client import LOGOUT, ME, Api, Member
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import at_once, kinds, sessions_of


async def _logout(api: Api, member: Member) -> None:
    assert (await api.logout(member.access_token))["sessionsEnded"] == 1


async def _logout_by_refresh_token(api: Api, member: Member) -> None:
    assert (await api.logout(refresh_token=member.refresh_token))["sessionsEnded"] == 1


async def _logout_everywhere(api: Api, member: Member) -> None:
    other = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    assert (await api.logout(other["tokens"]["accessToken"], everywhere=True))["sessionsEnded"] == 2


async def _refresh_token_reuse(api: Api, member: Member) -> None:
    assert (await api.refresh(member.refresh_token))["__typename"] == "SignedIn"
    api.clock.advance(11)
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"


async def _expiry(api: Api, member: Member) -> None:
    api.clock.advance(600)


ENDS: list[Callable[[Api, Member], Awaitable[None]]] = [
    _logout,
    _logout_by_refresh_token,
    _logout_everywhere,
    _refresh_token_reuse,
    _expiry,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
async def test_access_token_of_an_ended_session(api: Api, end: Callable[[Api, Member], Awaitable[None]]) -> None:
    """It is refused at once, and the response asks the client to refresh."""
    member = await api.member()
    before = await api.send(ME, token=member.access_token)
    assert before.json()["data"]["me"]["username"] == "alice"
    assert "WWW-Authenticate" not in before.headers

    await end(api, member)

    after = await api.send(ME, token=member.access_token)
    assert after.status_code == 200
    assert after.json() == {"data": {"me": None}}
    assert after.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert (await api.logout(member.access_token))["__typename"] == "NotAuthenticated"


async def test_missing_access_token_gets_no_challenge(api: Api) -> None:
    """Without a token there is nothing to refresh."""
    response = await api.send(ME)

    assert response.json() == {"data": {"me": None}}
    assert "WWW-Authenticate" not in response.headers


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Basic {}", "bearer{}", "Token {}", "Bearer {0} {0}", "{}", ""]
)
async def test_access_token_in_a_malformed_header(api: Api, header: str) -> None:
    member = await api.member()
    headers = {"Authorization": header.format(member.access_token)}

    response = await api.http.post("/graphql", json={"query": ME}, headers=headers)

    assert response.json() == {"data": {"me": None}}
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def test_access_token_outside_the_header(api: Api) -> None:
    """Not in the query string, a cookie, or another header, where it would be logged or sent along by itself."""
    token = (await api.member()).access_token
    tries = [
        await api.http.get("/graphql", params={"query": ME, "access_token": token, "token": token}),
        await api.http.post("/graphql", json={"query": ME, "access_token": token, "extensions": {"token": token}}),
        await api.http.post("/graphql", json={"query": ME}, headers={"X-Access-Token": token}),
        await api.http.post("/graphql", json={"query": ME}, headers={"Cookie": f"access_token={token}"}),
    ]

    assert [answer.json() for answer in tries] == [{"data": {"me": None}}] * 4


# --------------------------------------------------------------------------------------- sessions of other users


async def test_session_of_another_user_by_logout_everywhere(api: Api, services: Services) -> None:
    alice, mallory = await api.member("alice"), await api.member("mallory")

    assert (await api.logout(mallory.access_token, everywhere=True))["sessionsEnded"] == 1

    assert await sessions_of(services, "alice") == 1
    assert await api.me(alice.access_token) is not None


@pytest.mark.parametrize("everywhere", [False, True])
async def test_session_of_another_user_by_mixed_tokens(api: Api, services: Services, everywhere: bool) -> None:
    """Two tokens of two users in one request: the access token says who calls."""
    alice, mallory = await api.member("alice"), await api.member("mallory")

    answer = await api.logout(mallory.access_token, refresh_token=alice.refresh_token, everywhere=everywhere)

    assert answer["sessionsEnded"] == 1
    assert await sessions_of(services, "alice") == 1
    assert await sessions_of(services, "mallory") == 0


async def test_session_of_another_user_by_an_expired_token(api: Api, clock: Clock, services: Services) -> None:
    """An expired access token proves nothing; the refresh token beside it identifies its own session only."""
    alice, mallory = await api.member("alice"), await api.member("mallory")
    clock.advance(600)

    answer = await api.logout(alice.access_token, refresh_token=mallory.refresh_token, everywhere=True)

    assert answer["sessionsEnded"] == 1
    assert await sessions_of(services, "alice") == 1
    assert await sessions_of(services, "mallory") == 0


async def test_session_of_another_user_is_not_shown(api: Api) -> None:
    await api.member("alice")
    mallory = await api.member("mallory")

    me = await api.me(mallory.access_token)

    assert me is not None
    assert me["username"] == "mallory"


@on_each_engine
async def test_sessions_of_two_users_in_parallel_are_not_mixed_up(app: FastAPI, connect: Connect) -> None:
    """Nothing of one request is left for the next."""
    api = connect(app)
    members = [await api.member(f"user{number}") for number in range(5)]

    shown = await at_once(api.run(ME, token=member.access_token) for member in members * 10)

    assert [me["username"] for me in shown] == [member.username for member in members * 10]


@on_each_engine
async def test_session_end_in_parallel_is_counted_once(api: Api, services: Services) -> None:
    member = await api.member()

    answers = kinds(await at_once(api.logout(member.access_token) for _ in range(50)))

    assert answers == {"LogoutSuccess": 1, "NotAuthenticated": 49}
    assert await sessions_of(services) == 0


@on_each_engine
async def test_session_opened_during_logout_everywhere(api: Api, clock: Clock, services: Services) -> None:
    """Sign-ins and a logout everywhere at once: a session that was counted as ended is not alive."""
    member = await api.member()
    challenges = [await api.challenge() for _ in range(10)]
    code = code_at(member.secret, clock())

    answers = await at_once(
        [
            *(api.verify_otp(challenge, code) for challenge in challenges),
            api.logout(member.access_token, everywhere=True),
        ]
    )

    opened = kinds(answers)["SignedIn"]
    ended = answers[-1]["sessionsEnded"]
    assert await sessions_of(services) == 1 + opened - ended


async def test_logout_several_times_in_one_operation(api: Api, services: Services) -> None:
    """Guesses at refresh tokens, ten per request: they are too long to be guessed, and still end nothing."""
    await api.member()
    fields = " ".join(
        f'l{number}: logout(refreshToken: "mfar_{number:043}", everywhere: true) {{ __typename }}'
        for number in range(10)
    )

    response = await api.send(f"mutation {{ {fields} }}")

    assert kinds(response.json()["data"].values()) == {"NotAuthenticated": 10}
    assert await sessions_of(services) == 1


async def test_logout_by_a_link(api: Api, services: Services) -> None:
    """Cross-site: a GET, a form, or text/plain needs no permission of the browser."""
    member = await api.member()
    headers = {"Authorization": f"Bearer {member.access_token}"}
    document = LOGOUT
    tries = [
        await api.http.get("/graphql", params={"query": document}, headers=headers),
        await api.http.post("/graphql", data={"query": document}, headers=headers),
        await api.http.post("/graphql", content=document, headers=headers | {"Content-Type": "application/graphql"}),
        await api.http.post(
            "/graphql",
            content='{"query": "mutation { logout { __typename } }"}',
            headers=headers | {"Content-Type": "text/plain"},
        ),
        await api.http.post("/graphql", params={"query": document}, headers=headers),
    ]

    assert [answer.status_code for answer in tries] == [405, 415, 415, 415, 415]
    assert await sessions_of(services) == 1
