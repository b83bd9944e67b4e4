"""Attack: a refresh token was copied, from a backup, a log or a browser; or is made up."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from graphql_mfa.services import Services
from tests.api_client import ME, REFRESH_SESSION, Api, Member, Result
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import at_once, events_of, kinds, real_member, scalar, sessions_of

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

RETRY_KEY, OTHER_KEY = "the key that the owner drew", "a key that somebody made up"


async def refreshed(api: Api, token: str, retry_key: str | None = None) -> Result:
    """The pair for a token that is accepted."""
    answer = await api.refresh(token, retry_key)
    assert answer["__typename"] == "SignedIn", answer
    pair: Result = answer["tokens"]
    return pair


async def refused(api: Api, token: str, retry_key: str | None = None) -> bool:
    """Whether the token is answered like one that never was."""
    answer = await api.refresh(token, retry_key)
    return bool(answer["__typename"] == "SessionExpired")


async def assert_ended(api: Api, *pairs: Result) -> None:
    """Nothing of the session works any more."""
    for pair in pairs:
        response = await api.send(ME, token=pair["accessToken"])
        assert response.json() == {"data": {"me": None}}
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert await refused(api, pair["refreshToken"])


# ------------------------------------------------------------------------------------------------------------ reuse


@pytest.mark.parametrize("first", ["owner", "thief"])
async def test_refresh_token_reuse_after_the_grace(
    app: FastAPI, connect: Connect, clock: Clock, services: Services, first: str
) -> None:
    """The second use of a token means that one of the two clients is a thief, so the session ends."""
    owner, thief = connect(app), connect(app, "203.0.113.9")
    member = await owner.member()
    one, other = (owner, thief) if first == "owner" else (thief, owner)
    pair = await refreshed(one, member.refresh_token)
    clock.advance(10.5)

    assert await refused(other, member.refresh_token)

    assert await sessions_of(services) == 0
    await assert_ended(owner, pair, member.session["tokens"])


async def test_refresh_token_reuse_within_the_grace_returns_the_same_pair(
    api: Api, clock: Clock, services: Services
) -> None:
    """A client that lost the answer is not a thief, and it gets the same pair, not a second one."""
    member = await api.member()
    pair = await refreshed(api, member.refresh_token)
    for seconds in (0, 0.1, 9.9):
        clock.advance(seconds)
        again = await refreshed(api, member.refresh_token)
        # The access token's remaining seconds run; the rest is the same.
        assert {**again, "accessTokenExpiresIn": None} == {**pair, "accessTokenExpiresIn": None}

    assert await scalar(services, "SELECT generation FROM mfa_sessions") == 1
    assert await sessions_of(services) == 1


@pytest.mark.parametrize("first", ["owner", "thief"])
@pytest.mark.parametrize(("address", "user_agent"), [("203.0.113.9", "owner's"), ("10.0.0.1", "thief's")])
async def test_refresh_token_reuse_within_the_grace_by_another_client(
    app: FastAPI, connect: Connect, clock: Clock, services: Services, first: str, address: str, user_agent: str
) -> None:
    """No pair for a thief who follows the owner, nor for the owner who follows the thief, and the user sees it."""
    owner, thief = connect(app), connect(app, address)
    owner.http.headers["User-Agent"], thief.http.headers["User-Agent"] = "owner's", user_agent
    member = await owner.member()
    one, other = (owner, thief) if first == "owner" else (thief, owner)
    pair = await refreshed(one, member.refresh_token)
    clock.advance(1)

    assert await refused(other, member.refresh_token)

    assert (await events_of(services))["REFRESH_TOKEN_REUSED"] == 1
    assert await one.me(pair["accessToken"]) is not None
    assert (await refreshed(one, member.refresh_token))["refreshToken"] == pair["refreshToken"]
    clock.advance(10)
    assert await refused(other, member.refresh_token)
    assert await sessions_of(services) == 0


async def test_refresh_token_reuse_within_the_grace_from_the_same_network(app: FastAPI, connect: Connect) -> None:
    """A device has several IPv6 addresses, and changes them."""
    one, other = connect(app, "2001:db8:1:2::1"), connect(app, "2001:db8:1:2::2")
    member = await one.member()
    pair = await refreshed(one, member.refresh_token)

    assert (await refreshed(other, member.refresh_token))["refreshToken"] == pair["refreshToken"]


async def test_refresh_token_reuse_after_the_new_one_was_used(api: Api, clock: Clock, services: Services) -> None:
    """Within the grace, but the answer was not lost: its token was used."""
    member = await api.member()
    second = await refreshed(api, member.refresh_token)
    third = await refreshed(api, second["refreshToken"])

    assert await refused(api, member.refresh_token)

    assert await sessions_of(services) == 0
    await assert_ended(api, member.session["tokens"], second, third)


async def test_refresh_token_reuse_of_the_last_but_one(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    pairs = [member.session["tokens"]]
    for _ in range(5):
        clock.advance(60)
        pairs.append(await refreshed(api, pairs[-1]["refreshToken"]))

    assert await refused(api, pairs[2]["refreshToken"])

    assert await sessions_of(services) == 0
    await assert_ended(api, *pairs)


async def test_refresh_token_reuse_ends_that_session_only(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    elsewhere = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    await refreshed(api, member.refresh_token)
    clock.advance(11)

    assert await refused(api, member.refresh_token)

    assert await sessions_of(services) == 1
    assert await api.me(elsewhere["tokens"]["accessToken"]) is not None


@pytest.mark.parametrize("key", [None, OTHER_KEY], ids=["no key", "another key"])
@pytest.mark.parametrize("address", ["10.0.0.1", "203.0.113.9"], ids=["owner's address", "another address"])
async def test_refresh_token_reuse_without_the_retry_key(
    app: FastAPI, connect: Connect, clock: Clock, services: Services, key: str | None, address: str
) -> None:
    """The thief has the token, but not the owner's retry key."""
    owner, thief = connect(app), connect(app, address)
    member = await owner.member()
    await refreshed(owner, member.refresh_token, RETRY_KEY)
    clock.advance(12)

    assert await refused(thief, member.refresh_token, key)

    assert await sessions_of(services) == 0
    assert (await events_of(services))["REFRESH_TOKEN_REUSED"] == 1


async def test_refresh_token_reuse_with_its_key_after_the_new_one_was_used(
    api: Api, clock: Clock, services: Services
) -> None:
    member = await api.member()
    pair = await refreshed(api, member.refresh_token, RETRY_KEY)
    await refreshed(api, pair["refreshToken"], OTHER_KEY)
    clock.advance(12)

    assert await refused(api, member.refresh_token, RETRY_KEY)
    assert await sessions_of(services) == 0


async def test_refresh_token_reuse_of_an_older_token_with_the_key_of_the_last_refresh(
    api: Api, clock: Clock, services: Services
) -> None:
    member = await api.member()
    pair = await refreshed(api, member.refresh_token)
    await refreshed(api, pair["refreshToken"], RETRY_KEY)

    assert await refused(api, member.refresh_token, RETRY_KEY)
    assert await sessions_of(services) == 0


async def test_refresh_token_reuse_without_a_grace(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app(refresh_grace_seconds=0) as app:
        api = connect(app)
        member = await api.member()
        await refreshed(api, member.refresh_token)
        clock.advance(0.001)

        assert await refused(api, member.refresh_token)
        assert await sessions_of(app.state.services) == 0


async def test_refresh_token_reuse_after_logout(api: Api) -> None:
    member = await api.member()
    pair = await refreshed(api, member.refresh_token)
    assert (await api.logout(pair["accessToken"]))["sessionsEnded"] == 1

    await assert_ended(api, member.session["tokens"], pair)


# ---------------------------------------------------------------------------------------------------------- forgery

FORGERIES: dict[str, Callable[[Member, Result], str]] = {
    "right shape": lambda *_: "mfar_" + "A" * 43,
    "garbage": lambda *_: "garbage",
    "empty": lambda *_: "",
    "long": lambda *_: "mfar_" + "A" * 60_000,
    "SQL": lambda *_: "' OR 1=1 --",
    "access token": lambda member, _: member.access_token,
    "challenge token": lambda _, challenge: challenge["token"],
    "challenge token with the prefix": lambda _, challenge: "mfar_" + challenge["token"].removeprefix("mfac_"),
    "recovery code": lambda member, _: member.recovery_codes[0],
    "other prefix": lambda member, _: "mfac_" + member.refresh_token.removeprefix("mfar_"),
    "other case": lambda member, _: "mfar_" + member.refresh_token.removeprefix("mfar_").swapcase(),
    "one character changed": lambda member, _: (
        member.refresh_token[:20] + "_-"[member.refresh_token[20] == "_"] + member.refresh_token[21:]
    ),
    "cut": lambda member, _: member.refresh_token[:-1],
    "longer": lambda member, _: member.refresh_token + "A",
    "newline": lambda member, _: member.refresh_token + "\n",
    "padded": lambda member, _: member.refresh_token + "=",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_refresh_token_forgery_ends_nothing(
    api: Api, clock: Clock, services: Services, forge: Callable[[Member, Result], str]
) -> None:
    """It opens nothing, and nobody is thrown out by it: neither before nor after a rotation, neither by refreshing
    nor by logging out."""
    member = await api.member()
    challenge = await api.challenge()
    forged = forge(member, challenge)

    assert await refused(api, forged)
    assert (await api.logout(refresh_token=forged))["__typename"] == "NotAuthenticated"
    assert (await api.logout(refresh_token=forged, everywhere=True))["__typename"] == "NotAuthenticated"
    pair = await refreshed(api, member.refresh_token)
    clock.advance(60)
    assert await refused(api, forged)
    assert (await api.logout(refresh_token=forged, everywhere=True))["__typename"] == "NotAuthenticated"

    assert await sessions_of(services) == 1
    assert await api.me(pair["accessToken"]) is not None
    assert (await refreshed(api, pair["refreshToken"]))["refreshToken"] != pair["refreshToken"]


async def test_refresh_token_forged_from_a_stolen_token_counts_as_reuse(api: Api, services: Services) -> None:
    """Who changes the half that rotates must have had a token of the session."""
    member = await api.member()
    changed = "AB"[member.refresh_token[40] == "A"]
    assert await refused(api, member.refresh_token[:40] + changed + member.refresh_token[41:])
    assert await sessions_of(services) == 0
    assert (await events_of(services))["REFRESH_TOKEN_REUSED"] == 1


async def test_refresh_without_a_token(api: Api, services: Services) -> None:
    await api.member()
    for variables in ({}, {"input": None}):
        assert (await api.run(REFRESH_SESSION, variables))["__typename"] == "SessionExpired"

    assert await sessions_of(services) == 1


async def test_refresh_token_forgery_many_times(app: FastAPI, connect: Connect, clock: Clock) -> None:
    """Refused tokens are counted per address; good ones are accepted whatever the count."""
    owner, thief = connect(app), connect(app, "203.0.113.9")
    member = await owner.member()
    answers = [await thief.refresh(f"mfar_{number:043}") for number in range(31)]

    assert kinds(answers[:30]) == {"SessionExpired": 30}
    assert answers[30]["__typename"] == "RateLimited"
    assert answers[30]["retryAfter"] == 300
    assert (await thief.refresh(member.refresh_token))["__typename"] == "SignedIn"
    assert await refused(owner, "mfar_" + "A" * 43)
    clock.advance(300)
    assert await refused(thief, "mfar_" + "A" * 43)


# ------------------------------------------------------------------------------------------------------- expiry, races


async def test_refresh_beyond_the_maximum_session_age(api: Api, clock: Clock, services: Services) -> None:
    """A stolen session can be kept warm, but ends a day after its sign-in."""
    member = await api.member()
    pair = member.session["tokens"]
    clock.advance(-30)  # back to the sign-in
    for _ in range(47):
        clock.advance(1800)
        pair = await refreshed(api, pair["refreshToken"])
    clock.advance(1799)
    pair = await refreshed(api, pair["refreshToken"])
    assert pair["accessTokenExpiresIn"] == 1
    clock.advance(1)

    await assert_ended(api, pair)


async def test_refresh_of_an_idle_session(api: Api, clock: Clock) -> None:
    """An hour without its owner ends it."""
    member = await api.member()
    clock.advance(3600 - 30)

    assert await refused(api, member.refresh_token)


@on_each_engine
async def test_parallel_refresh(api: Api, services: Services) -> None:
    """Fifty at once: one rotation, and the same pair for all."""
    member = await api.member()

    answers = await at_once(api.refresh(member.refresh_token) for _ in range(50))

    assert kinds(answers) == {"SignedIn": 50}
    assert len({(answer["tokens"]["accessToken"], answer["tokens"]["refreshToken"]) for answer in answers}) == 1
    assert await scalar(services, "SELECT generation FROM mfa_sessions") == 1
    assert await scalar(services, "SELECT count(*) FROM mfa_used_refresh_tokens") == 0


@on_each_engine
async def test_parallel_refresh_by_owner_and_thief(app: FastAPI, connect: Connect, services: Services) -> None:
    """One of them gets the pair, and the other one nothing."""
    owner, thief = connect(app), connect(app, "203.0.113.9")
    member = await owner.member()
    answers = await at_once(api.refresh(member.refresh_token) for api in [owner, thief] * 10)

    assert kinds(answers[::2]) in ({"SignedIn": 10}, {"SessionExpired": 10})
    assert kinds(answers) == {"SignedIn": 10, "SessionExpired": 10}
    assert len({answer["tokens"]["refreshToken"] for answer in answers if "tokens" in answer}) == 1
    assert await sessions_of(services) == 1
    assert (await events_of(services))["REFRESH_TOKEN_REUSED"] == 10


@on_each_engine
async def test_parallel_refresh_with_one_retry_key_from_many_addresses(
    app: FastAPI, connect: Connect, services: Services
) -> None:
    """Fifty at once: one rotation, and the same pair for all."""
    clients = [connect(app, f"203.0.113.{number}") for number in range(5)]
    member = await clients[0].member()

    answers = await at_once(client.refresh(member.refresh_token, RETRY_KEY) for client in clients * 10)

    assert kinds(answers) == {"SignedIn": 50}
    assert len({(answer["tokens"]["accessToken"], answer["tokens"]["refreshToken"]) for answer in answers}) == 1
    assert await scalar(services, "SELECT generation FROM mfa_sessions") == 1


@on_each_engine
async def test_parallel_refresh_with_different_retry_keys(app: FastAPI, connect: Connect, services: Services) -> None:
    """One key wins, and repeats the pair; the others are reuse by other clients."""
    clients = [connect(app, f"203.0.113.{number}") for number in range(5)]
    member = await clients[0].member()
    keys = [f"the key of client {number}" for number in range(5)]

    answers = await at_once(
        client.refresh(member.refresh_token, key) for client, key in zip(clients * 4, keys * 4, strict=True)
    )

    assert kinds(answers) == {"SignedIn": 4, "SessionExpired": 16}
    assert sorted(kinds(answers[place::5]) == {"SignedIn": 4} for place in range(5)) == [False] * 4 + [True]
    assert await scalar(services, "SELECT generation FROM mfa_sessions") == 1


@on_each_engine
async def test_parallel_refresh_with_current_and_previous_token(api: Api, clock: Clock, services: Services) -> None:
    """Old and current token in parallel: in any order, no session is left with two pairs."""
    member = await api.member()
    second = await refreshed(api, member.refresh_token)
    clock.advance(60)

    await at_once(api.refresh(token) for token in [member.refresh_token, second["refreshToken"]] * 25)

    assert await sessions_of(services) == 0


@on_each_engine
async def test_parallel_refresh_and_logout(api: Api, services: Services) -> None:
    """A rotation that races with the end brings no session back."""
    member = await api.member()

    answers = await at_once(
        [
            *(api.refresh(member.refresh_token) for _ in range(25)),
            *(api.logout(member.access_token) for _ in range(25)),
        ]
    )

    assert kinds(answers)["LogoutSuccess"] == 1
    assert await sessions_of(services) == 0


@on_each_engine
async def test_parallel_refresh_to_two_processes(processes: list[Api], username: str) -> None:
    member = await real_member(processes[0], username)

    answers = await at_once(client.refresh(member.refresh_token) for client in processes * 25)

    assert kinds(answers) == {"SignedIn": 50}
    assert len({(answer["tokens"]["accessToken"], answer["tokens"]["refreshToken"]) for answer in answers}) == 1
    pair = await refreshed(processes[1], answers[0]["tokens"]["refreshToken"])
    assert await processes[0].me(pair["accessToken"]) is not None
