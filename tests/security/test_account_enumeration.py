"""Attack: find out which names have an account, from what is answered or from what it costs."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from passlib.hash import bcrypt, bcrypt_sha256

from graphql_mfa.core.security_events import SecurityEvent
from graphql_mfa.flows.notifications import Notifier
from tests.api.scenarios import reset_password
from tests.api_client import LOGIN, PASSWORD, Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect
from tests.security.attacks import NO_RECOVERY_CODE, WRONG_PASSWORD, execute
from tests.security.work import Work, measured

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

UNKNOWN = {
    "unknown": "nobody",
    "another case": "NOBODY",
    "empty": "",
    "blank": "   ",
    "a letter": "a",
    "255 characters": "n" * 255,
    "256 characters": "n" * 256,
    "60,000 characters": "n" * 60_000,
    "colon": "alice:admin",
    "NUL": "alice\0",
    "invisible": "al\u200bice",
    "lone surrogate": "\ud800",
    "grows": "\ufdfa" * 64,
    "SQL": "alice' --",
}
WRONG = {
    "wrong": WRONG_PASSWORD,
    "empty": "",
    "short": "x",
    "long": "x" * 128,
    "longer than a new one": "x" * 129,
    "too long": "x" * 4097,
    "60,000 characters": "x" * 60_000,
    "NUL": f"{PASSWORD}\0",
    "lone surrogate": PASSWORD + "\ud800",
    "grows": "\ufdfa" * 128,
}


# Answers name the request; here all have one name.
HEADERS = {"Content-Type": "application/json", "X-Request-ID": "same"}


async def log_in(api: Api, username: str, password: str) -> httpx.Response:
    body = json.dumps({"query": LOGIN, "variables": {"input": {"username": username, "password": password}}})
    return await api.http.post("/graphql", content=body, headers=HEADERS)


# ---------------------------------------------------------------------------------------------------------- message


@pytest.mark.parametrize("name", UNKNOWN.values(), ids=UNKNOWN)
async def test_enumeration_by_message_for_a_name(api: Api, name: str) -> None:
    """Unknown and malformed names get, byte for byte, what a wrong password gets."""
    await api.member()
    known = await log_in(api, "alice", WRONG_PASSWORD)
    unknown = await log_in(api, name, WRONG_PASSWORD)

    assert json.loads(known.content)["data"]["login"]["__typename"] == "InvalidCredentials"
    assert unknown.content == known.content
    assert (unknown.status_code, unknown.headers) == (known.status_code, known.headers)


@pytest.mark.parametrize("password", WRONG.values(), ids=WRONG)
async def test_enumeration_by_message_for_a_password(api: Api, password: str) -> None:
    """A malformed password is reported for every name alike."""
    await api.member()
    known = await log_in(api, "alice", password)
    unknown = await log_in(api, "nobody", password)

    assert known.json()["data"]["login"]["__typename"] == "InvalidCredentials"
    assert unknown.content == known.content
    assert (unknown.status_code, unknown.headers) == (known.status_code, known.headers)


async def test_enumeration_of_pending_accounts_by_message(api: Api) -> None:
    await api.member("alice")
    await api.register("bob")

    answers = [(await log_in(api, name, WRONG_PASSWORD)).content for name in ("alice", "bob", "nobody")]

    assert answers[0] == answers[1] == answers[2]


async def test_enumeration_of_disabled_accounts_by_message(app: FastAPI, connect: Connect) -> None:
    """Not even who knows the password learns that there is such an account."""
    api = connect(app)
    await api.member()
    await execute(app.state.services, "UPDATE mfa_users SET disabled_at = created_at")

    right, wrong = [await log_in(api, "alice", password) for password in (PASSWORD, WRONG_PASSWORD)]
    unknown = await log_in(api, "nobody", PASSWORD)

    assert json.loads(unknown.content)["data"]["login"]["__typename"] == "InvalidCredentials"
    assert right.content == wrong.content == unknown.content
    assert (right.status_code, right.headers) == (unknown.status_code, unknown.headers)


async def test_enumeration_by_the_wait(api: Api, clock: Clock) -> None:
    """Unknown names are throttled alike: the same answers to the same tries."""
    await api.member()
    answers: dict[str, list[bytes]] = {}
    for name in ("alice", "nobody"):
        answers[name] = []
        for _ in range(16):
            answers[name].append((await log_in(api, name, WRONG_PASSWORD)).content)
            clock.advance(0.25)
        clock.advance(3600)

    assert answers["alice"] == answers["nobody"]
    assert len(set(answers["alice"])) > 1


async def test_enumeration_by_the_wait_of_all_strangers(app: FastAPI, connect: Connect, clock: Clock) -> None:
    await connect(app, "10.9.9.9").member()
    answers: dict[str, list[bytes]] = {}
    for name in ("alice", "nobody"):
        answers[name] = []
        for number in range(102):
            stranger = connect(app, f"203.0.{len(answers)}.{number}")
            answers[name].append((await log_in(stranger, name, WRONG_PASSWORD)).content)
        clock.advance(10_000)

    assert answers["alice"] == answers["nobody"]
    assert b"RateLimited" in answers["alice"][-1]


@pytest.mark.parametrize("token", ["mfac_" + "A" * 43, "mfac_", "", "x" * 5000])
async def test_enumeration_by_challenge(api: Api, clock: Clock, token: str) -> None:
    """A challenge that never was is answered like one that is over."""
    member = await api.member()
    challenge = await api.challenge()
    assert (await api.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"

    assert await api.verify_otp({"token": token}, "000000") == await api.verify_otp(challenge, "000000")
    assert await api.verify_recovery_code({"token": token}, "x") == await api.verify_recovery_code(challenge, "x")
    assert await api.restart_enrollment({"token": token}) == await api.restart_enrollment(challenge)


# ------------------------------------------------------------------------------------------------------------- work


async def work_of_login(
    app: FastAPI, connect: Connect, monkeypatch: pytest.MonkeyPatch, username: str, password: str, address: str
) -> Work:
    with measured(monkeypatch) as work:
        response = await log_in(connect(app, address), username, password)
    assert response.json()["data"]["login"]["__typename"] == "InvalidCredentials"
    return work


@pytest.mark.parametrize("name", UNKNOWN.values(), ids=UNKNOWN)
async def test_enumeration_by_work_for_a_name(
    app: FastAPI, connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    await connect(app).member()

    known = await work_of_login(app, connect, monkeypatch, "alice", WRONG_PASSWORD, "203.0.113.1")
    unknown = await work_of_login(app, connect, monkeypatch, name, WRONG_PASSWORD, "203.0.113.2")

    assert known.rounds == 2**4
    assert len(known.statements) > 2
    assert (unknown.rounds, unknown.statements) == (known.rounds, known.statements)


@pytest.mark.parametrize("password", WRONG.values(), ids=WRONG)
async def test_enumeration_by_work_for_a_password(
    app: FastAPI, connect: Connect, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """What no account can have as a password is hashed all the same, for known names as for unknown ones."""
    await connect(app).member()

    usual = await work_of_login(app, connect, monkeypatch, "alice", WRONG_PASSWORD, "203.0.113.1")
    known = await work_of_login(app, connect, monkeypatch, "alice", password, "203.0.113.2")
    unknown = await work_of_login(app, connect, monkeypatch, "nobody", password, "203.0.113.3")

    assert (known.rounds, known.statements) == (usual.rounds, usual.statements)
    assert (unknown.rounds, unknown.statements) == (usual.rounds, usual.statements)


@pytest.mark.parametrize("rounds", [4, 5, 6, 7])
@pytest.mark.parametrize("scheme", [bcrypt, bcrypt.using(ident="2a"), bcrypt_sha256], ids=["2b", "2a", "sha256"])
async def test_enumeration_of_imported_accounts_by_work(
    run_app: RunApp, connect: Connect, monkeypatch: pytest.MonkeyPatch, scheme: Any, rounds: int
) -> None:
    """A cheap hash from elsewhere is padded to the work of everybody else's."""
    async with run_app(bcrypt_rounds=7) as app:
        await connect(app).member()
        old_hash = scheme.using(rounds=rounds).hash("older horse older staple")
        await execute(app.state.services, "UPDATE mfa_users SET password_hash = :hash", hash=old_hash)

        imported = await work_of_login(app, connect, monkeypatch, "alice", WRONG_PASSWORD, "203.0.113.1")
        unknown = await work_of_login(app, connect, monkeypatch, "nobody", WRONG_PASSWORD, "203.0.113.2")

    assert imported.rounds == unknown.rounds == 2**7
    assert imported.statements == unknown.statements


async def test_enumeration_of_accounts_older_than_a_raised_cost_by_work(
    run_app: RunApp, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app(bcrypt_rounds=4) as app:
        await connect(app).member()
    async with run_app(bcrypt_rounds=6) as app:
        old = await work_of_login(app, connect, monkeypatch, "alice", WRONG_PASSWORD, "203.0.113.1")
        unknown = await work_of_login(app, connect, monkeypatch, "nobody", WRONG_PASSWORD, "203.0.113.2")

    assert (old.rounds, old.statements) == (unknown.rounds, unknown.statements)


async def test_enumeration_of_pending_and_abandoned_accounts_by_work(
    app: FastAPI, connect: Connect, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    await connect(app).register("bob")
    pending = await work_of_login(app, connect, monkeypatch, "bob", WRONG_PASSWORD, "203.0.113.1")
    clock.advance(86_400)
    abandoned = await work_of_login(app, connect, monkeypatch, "bob", WRONG_PASSWORD, "203.0.113.2")
    unknown = await work_of_login(app, connect, monkeypatch, "nobody", WRONG_PASSWORD, "203.0.113.3")

    assert (pending.rounds, pending.statements) == (unknown.rounds, unknown.statements)
    assert (abandoned.rounds, abandoned.statements) == (unknown.rounds, unknown.statements)


@pytest.mark.parametrize("password", [PASSWORD, WRONG_PASSWORD], ids=["right", "wrong"])
async def test_enumeration_of_disabled_accounts_by_work(
    app: FastAPI, connect: Connect, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    await connect(app).member()
    enabled = await work_of_login(app, connect, monkeypatch, "alice", WRONG_PASSWORD, "203.0.113.1")
    await execute(app.state.services, "UPDATE mfa_users SET disabled_at = created_at")
    disabled = await work_of_login(app, connect, monkeypatch, "alice", password, "203.0.113.2")
    unknown = await work_of_login(app, connect, monkeypatch, "nobody", password, "203.0.113.3")

    assert (disabled.rounds, disabled.statements) == (enabled.rounds, enabled.statements)
    assert (disabled.rounds, disabled.statements) == (unknown.rounds, unknown.statements)


async def test_enumeration_by_work_while_throttled(
    app: FastAPI, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No password is hashed for whoever has to wait, and no name costs more than another."""
    await connect(app, "10.9.9.9").member()
    works = {}
    for number, name in enumerate(("alice", "nobody")):
        address = f"203.0.113.{number}"
        for _ in range(10):
            await log_in(connect(app, address), name, WRONG_PASSWORD)
        with measured(monkeypatch) as works[name]:
            response = await log_in(connect(app, address), name, WRONG_PASSWORD)
        assert response.json()["data"]["login"]["__typename"] == "RateLimited"

    assert works["alice"].rounds == works["nobody"].rounds == 0
    assert works["alice"].statements == works["nobody"].statements


# --------------------------------------------------------------------------------------------------------- delivery


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_enumeration_by_the_delivery_that_a_refusal_begins(
    run_app: RunApp, connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Only events of a known name are delivered, and delivery must not make the next request wait."""
    woken: list[Notifier] = []

    async def on_event(_: SecurityEvent) -> None:
        pass

    monkeypatch.setattr(Notifier, "wake", lambda notifier: woken.append(notifier))
    async with run_app(on_event=on_event) as app:
        api = connect(app)
        await api.member()
        before = len(woken)
        assert (await log_in(api, name, WRONG_PASSWORD)).json()["data"]["login"]["__typename"] == "InvalidCredentials"
        assert (await reset_password(api, "000000", NO_RECOVERY_CODE, name))["__typename"] == "ResetRejected"
        assert len(woken) == before
        await api.register("carol")
        assert len(woken) == before + 1
