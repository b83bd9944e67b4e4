"""User.sessions."""

from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from graphql_mfa.services import Services
from tests.account import user_of
from tests.api.scenarios import RunApp
from tests.api_client import Api, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect
from tests.store import rows

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


async def sessions_shown(api: Api, token: str) -> list[Result]:
    shown: list[Result] = (await user_of(api, token))["sessions"]
    return shown


async def test_a_session_is_shown_with_details_to_recognise_it(api: Api, clock: Clock) -> None:
    api.http.headers["User-Agent"] = USER_AGENT
    opened = clock().isoformat()
    member = await api.member()
    (session,) = await sessions_shown(api, member.access_token)
    assert UUID(session.pop("id"))
    assert session == {
        "__typename": "Session",
        "current": True,
        "createdAt": opened,
        "lastUsedAt": opened,
        "authenticatedAt": opened,
        "factors": ["TOTP"],
        "userAgent": USER_AGENT,
        "ipAddress": "10.0.0.1",
    }


async def test_sessions_are_listed_most_recently_used_first(api: Api, clock: Clock) -> None:
    member = await api.member()
    first = member.session["tokens"]
    second = (await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0]))["tokens"]
    assert [session["current"] for session in await sessions_shown(api, first["accessToken"])] == [False, True]
    clock.advance(1)
    first = (await api.refresh(first["refreshToken"]))["tokens"]
    shown = await sessions_shown(api, first["accessToken"])
    assert [session["current"] for session in shown] == [True, False]
    assert [session["factors"] for session in shown] == [["TOTP"], ["RECOVERY_CODE"]]
    assert [session["current"] for session in await sessions_shown(api, second["accessToken"])] == [False, True]


async def test_a_refresh_updates_the_client_and_a_reauthentication_the_factors(
    app: FastAPI, connect: Connect, api: Api, clock: Clock
) -> None:
    member = await api.member()
    (before,) = await sessions_shown(api, member.access_token)
    elsewhere = connect(app, "10.0.0.2")
    elsewhere.http.headers["User-Agent"] = USER_AGENT
    clock.advance(5)
    token = (await elsewhere.refresh(member.refresh_token))["tokens"]["accessToken"]
    refreshed_at = clock().isoformat()
    clock.advance(5)
    query = "mutation M($code: String!) { reauthenticate(input: {recoveryCode: $code}) { __typename } }"
    await api.run(query, {"code": member.recovery_codes[0]}, token=token)
    (after,) = await sessions_shown(api, token)
    assert after == before | {
        "lastUsedAt": refreshed_at,
        "authenticatedAt": clock().isoformat(),
        "factors": ["TOTP", "RECOVERY_CODE"],
        "userAgent": USER_AGENT,
        "ipAddress": "10.0.0.2",
    }


async def test_ended_sessions_and_those_of_other_users_are_not_shown(api: Api, clock: Clock) -> None:
    member = await api.member()
    await api.member("bob")
    await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    clock.advance(3600 - 90)
    refreshed = await api.refresh(member.refresh_token)
    assert refreshed["__typename"] == "SignedIn"
    clock.advance(90)
    shown = await sessions_shown(api, refreshed["tokens"]["accessToken"])
    assert [session["current"] for session in shown] == [True]


async def test_a_long_list_shows_the_most_recently_used_sessions(api: Api, services: Services, clock: Clock) -> None:
    member = await api.member()
    user_id = UUID(member.session["user"]["id"])

    ids = [UUID(int=number) for number in range(110)]
    await services.database.write(
        lambda connection: [
            rows.add_session(connection, user_id, id=session_id, refreshed_at=clock() + timedelta(seconds=number))
            for number, session_id in enumerate(ids)
        ]
    )
    shown = await sessions_shown(api, member.access_token)
    assert [session["id"] for session in shown] == [str(session_id) for session_id in ids[:-101:-1]]


async def test_a_user_who_has_just_registered_has_no_session(api: Api) -> None:
    query = """mutation Register($input: RegisterUserInput!) {
      registerUser(input: $input) {
        ... on RegisterUserSuccess { user { sessions { id } securityEvents { kind ipAddress } } }
      }
    }"""
    variables = {"input": {"username": "alice", "password": "correct horse battery staple"}}
    registered = await api.run(query, variables)
    assert registered["user"] == {
        "sessions": [],
        "securityEvents": [{"kind": "REGISTERED", "ipAddress": "10.0.0.1"}],
    }


@pytest.mark.parametrize(
    ("peer", "header", "shown"),
    [
        ("10.0.0.5", "203.0.113.7, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.5", "2001:db8::7", "2001:db8::7"),  # itself, where limits count by its network
        ("10.0.0.6", "198.51.100.7", "10.0.0.6"),
    ],
)
async def test_a_session_shows_the_clients_address_behind_a_trusted_proxy(
    run_app: RunApp, connect: Connect, peer: str, header: str, shown: str
) -> None:
    async with run_app(trusted_proxies=["10.0.0.5"]) as app:
        api = connect(app, peer)
        api.http.headers["X-Forwarded-For"] = header
        member = await api.member()
        user = await user_of(api, member.access_token)
    assert [session["ipAddress"] for session in user["sessions"]] == [shown]
    assert {event["ipAddress"] for event in user["securityEvents"]} == {shown}


HOSTILE = {
    "script": ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    "long": ("x" * 5000, "x" * 255),
    "control characters": ("a\tb\x1b[31mc\x7f", "ab[31mc"),
    "bytes": ("a\xff\xfe\xa0b", "aÿþb"),
    "nothing to see": ("\t \xa0", " "),
    "empty": ("", None),
}


async def test_a_user_agent_is_shortened_and_made_printable(api: Api, subtests: pytest.Subtests) -> None:
    for name, (sent, shown) in HOSTILE.items():
        with subtests.test(name):
            api.http.headers = httpx.Headers({"User-Agent": sent}, encoding="latin-1")
            member = await api.member(f"user of {name}")
            user = await user_of(api, member.access_token)
            assert [session["userAgent"] for session in user["sessions"]] == [shown]
            assert {event["userAgent"] for event in user["securityEvents"]} == {shown}


async def test_a_missing_user_agent_is_null(api: Api) -> None:
    del api.http.headers["User-Agent"]
    member = await api.member()
    assert [session["userAgent"] for session in await sessions_shown(api, member.access_token)] == [None]


async def test_the_session_that_signing_in_opened_is_the_current_one(api: Api, clock: Clock) -> None:
    member = await api.member()
    query = """mutation M($input: VerifyOtpInput!) {
      verifyOtp(input: $input) { ... on SignInSuccess { user { sessions { current } } } }
    }"""
    challenge = await api.challenge()
    answer = {"challengeToken": challenge["token"], "otp": code_at(member.secret, clock())}
    signed_in = await api.run(query, {"input": answer})
    assert signed_in["user"]["sessions"] == [{"current": True}, {"current": False}]
