"""Attack: by resets, keep out or find out whoever has a name, knowing nothing but the name."""

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection, Engine, event

from graphql_mfa.core.keys import KeyRing, unseal
from graphql_mfa.services import Services
from tests.account import document
from tests.api.scenarios import NEW_PASSWORD, NO_RECOVERY_CODE, reset_password, reset_with_both_codes
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine, postgresql_only
from tests.security.attacks import at_once, events_of, execute, failures_counted, guess, kinds, scalar
from tests.security.work import Work, measured

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
Reset = Callable[[Api], Awaitable[Result]]

# Answers name the request; here all have one name.
HEADERS = {"Content-Type": "application/json", "X-Request-ID": "same"}


async def raw_reset(api: Api, username: str, otp: str = "000000", new_password: str = NEW_PASSWORD) -> httpx.Response:
    """As somebody who has no recovery code tries it."""
    proofs = {"username": username, "otp": otp, "recoveryCode": NO_RECOVERY_CODE, "newPassword": new_password}
    body = json.dumps({"query": document("resetPassword"), "variables": {"input": proofs}})
    return await api.http.post("/graphql", content=body, headers=HEADERS)


# --------------------------------------------------------------------------------------------------------- keep out


async def test_reset_by_name_burns_no_budget_of_its_owner(
    app: FastAPI, connect: Connect, clock: Clock, services: Services
) -> None:
    """As many tries as there are; then everything of the owner's is as it was, from where the owner is."""
    owner = connect(app)
    member = await owner.member()
    sessions = await scalar(services, "SELECT count(*) FROM mfa_sessions")
    for number in range(15):
        thief = connect(app, f"203.0.113.{number}")
        for _ in range(10):
            await reset_password(thief, wrong_code(member.secret, clock()), NO_RECOVERY_CODE)
    assert (await reset_password(connect(app, "203.0.113.99"), "", ""))["__typename"] == "RateLimited"

    assert await failures_counted(services) == 0
    assert await scalar(services, "SELECT otp_failures FROM mfa_users") == 0
    assert await scalar(services, "SELECT count(*) FROM mfa_recovery_codes") == 10
    assert await scalar(services, "SELECT count(*) FROM mfa_sessions") == sessions
    challenge = await owner.challenge()
    assert challenge["factors"] == ["TOTP", "RECOVERY_CODE"]
    assert (await owner.verify_otp(challenge, code_at(member.secret, clock())))["__typename"] == "SignedIn"
    clock.advance(30)
    assert (await reset_with_both_codes(owner, member))["__typename"] == "PasswordChanged"


async def test_reset_by_name_does_not_use_up_a_one_time_code_that_was_right(
    app: FastAPI, connect: Connect, clock: Clock
) -> None:
    owner, thief = connect(app), connect(app, "203.0.113.9")
    member = await owner.member()
    code = code_at(member.secret, clock())

    rejected = await reset_password(thief, code, NO_RECOVERY_CODE)

    assert rejected["__typename"] == "ResetRejected"
    assert (await owner.verify_otp(await owner.challenge(), code))["__typename"] == "SignedIn"


@on_each_engine
async def test_reset_by_name_in_parallel(app: FastAPI, connect: Connect, services: Services) -> None:
    """A try is counted before the codes are looked at: twenty at once are ten."""
    await connect(app).member()
    thief = connect(app, "203.0.113.9")

    answers = await at_once(reset_password(thief, "000000", NO_RECOVERY_CODE) for _ in range(20))

    assert kinds(answers) == {"ResetRejected": 10, "RateLimited": 10}
    assert (await events_of(services))["SIGN_IN_FAILED"] == 0


async def test_reset_by_name_shares_one_try_a_minute_among_all_strangers(
    app: FastAPI, connect: Connect, clock: Clock
) -> None:
    member = await connect(app).member()
    for number in range(100):
        stranger = connect(app, f"203.0.113.{number}")
        assert (await reset_password(stranger, "000000", NO_RECOVERY_CODE))["__typename"] == "ResetRejected"
    for _ in range(2):
        one, another = connect(app, "198.51.100.1"), connect(app, "198.51.100.2")
        assert (await reset_password(one, "000000", NO_RECOVERY_CODE))["retryAfter"] == 60
        clock.advance(60)
        assert (await reset_password(one, "000000", NO_RECOVERY_CODE))["__typename"] == "ResetRejected"
        assert (await reset_with_both_codes(another, member))["__typename"] == "RateLimited"
    assert (await reset_with_both_codes(connect(app), member))["__typename"] == "PasswordChanged"


# --------------------------------------------------------------------------------------------------------- find out


async def test_reset_by_name_is_answered_the_same_for_every_name(app: FastAPI, connect: Connect) -> None:
    """Byte for byte, also for names that no account can have, pending accounts and disabled ones."""
    owner = connect(app, "10.9.9.9")
    await owner.member()
    await owner.member("carol")
    await owner.register("bob")
    await execute(app.state.services, "UPDATE mfa_users SET disabled_at = created_at WHERE username = 'carol'")
    names = ["alice", "bob", "carol", "nobody", "", "al:ice", "alice\0", "\ud800", "n" * 60_000]

    answers = [await raw_reset(connect(app, f"203.0.113.{number}"), name) for number, name in enumerate(names)]

    assert answers[0].json()["data"]["resetPassword"]["__typename"] == "ResetRejected"
    assert len({(answer.status_code, answer.content, str(answer.headers)) for answer in answers}) == 1


@pytest.mark.parametrize("new_password", ["short", "password1", "x" * 200, "row the boats, alice"])
async def test_reset_by_name_to_a_bad_password_is_answered_the_same(
    app: FastAPI, connect: Connect, new_password: str
) -> None:
    answers = []
    for known in (False, True):
        if known:
            await connect(app, "10.9.9.9").member()
        thief = connect(app, f"203.0.113.{int(known)}")
        answers.append((await raw_reset(thief, "alice", new_password=new_password)).content)

    assert b"InvalidInput" in answers[0]
    assert answers[0] == answers[1]


async def test_reset_by_name_waits_the_same_for_every_name(app: FastAPI, connect: Connect, clock: Clock) -> None:
    await connect(app, "10.9.9.9").member()
    answers: dict[str, list[bytes]] = {}
    for name in ("alice", "nobody", "no:body"):
        thief = connect(app, "203.0.113.9")
        answers[name] = []
        for _ in range(16):
            answers[name].append((await raw_reset(thief, name)).content)
            clock.advance(0.25)
        clock.advance(3600)

    assert answers["alice"] == answers["nobody"] == answers["no:body"]
    assert b"RateLimited" in answers["alice"][-1]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rows whose seals were opened."""
    rows: list[str] = []

    def note(ring: KeyRing, row: str, blob: bytes) -> bytes:
        rows.append(row)
        return unseal(ring, row, blob)

    monkeypatch.setattr("graphql_mfa.flows.totp.unseal", note)
    return rows


async def work_of_reset(reset: Reset, api: Api, monkeypatch: pytest.MonkeyPatch, opened: list[str]) -> tuple[Work, int]:
    """What a refusal cost, and how many secrets were opened for it."""
    opened.clear()
    with measured(monkeypatch) as work:
        assert (await reset(api))["__typename"] == "ResetRejected"
    return work, len(opened)


@postgresql_only
async def test_reset_by_name_commits_a_change_for_every_name(app: FastAPI, connect: Connect) -> None:
    """A commit that wrote nothing doesn't wait for the disk, which takes milliseconds."""
    await connect(app, "10.9.9.9").member()
    wrote: dict[str, list[bool]] = {"alice": [], "nobody": [], "al:ice": []}

    for number, (name, transactions) in enumerate(wrote.items()):

        def note(connection: Connection, transactions: list[bool] = transactions) -> None:
            transaction_id = connection.exec_driver_sql("SELECT pg_current_xact_id_if_assigned()").scalar()
            transactions.append(transaction_id is not None)

        event.listen(Engine, "commit", note)
        await raw_reset(connect(app, f"203.0.113.{number}"), name)
        event.remove(Engine, "commit", note)

    assert list(wrote.values()) == [[True, True]] * 3


@pytest.mark.parametrize("code", ["000000", "nonsense"])
async def test_reset_by_name_costs_the_same_for_every_name(
    app: FastAPI, connect: Connect, monkeypatch: pytest.MonkeyPatch, opened: list[str], code: str
) -> None:
    owner = connect(app, "10.9.9.9")
    await owner.member()
    await owner.member("carol")
    await owner.register("bob")
    await execute(app.state.services, "UPDATE mfa_users SET disabled_at = created_at WHERE username = 'carol'")

    works = []
    for number, name in enumerate(("alice", "bob", "carol", "nobody", "", "n" * 60_000)):
        thief = connect(app, f"203.0.113.{number}")
        reset = partial(reset_password, otp=code, recovery_code=NO_RECOVERY_CODE, username=name)
        works.append(await work_of_reset(reset, thief, monkeypatch, opened))

    assert len({(tuple(work.statements), work.rounds, secrets) for work, secrets in works}) == 1
    assert (works[0][0].rounds, works[0][1]) == (2**4, 1)


async def test_reset_with_a_recovery_code_is_refused_at_the_same_cost(
    run_app: RunApp, connect: Connect, monkeypatch: pytest.MonkeyPatch, opened: list[str], clock: Clock
) -> None:
    """Nor does somebody with an old list of recovery codes learn whether they still work: like statements, as many."""
    async with run_app(otp_failures_before_disabling=2) as app:
        api = connect(app)
        member: Member = await api.member()
        code = member.recovery_codes[0]
        resets: list[Reset] = [
            lambda api: reset_password(api, "000000", NO_RECOVERY_CODE),
            lambda api: reset_password(api, code_at(member.secret, clock()), NO_RECOVERY_CODE),
            lambda api: reset_password(api, code_at(member.secret, clock(), -1), code),
            lambda api: reset_password(api, wrong_code(member.secret, clock()), code),
        ]
        works = [await work_of_reset(reset, api, monkeypatch, opened) for reset in resets]
        await guess(api, member.secret)
        assert (await api.challenge())["factors"] == ["RECOVERY_CODE"]
        works.append(await work_of_reset(lambda api: reset_with_both_codes(api, member), api, monkeypatch, opened))

    assert len({(len(work.statements), work.rounds, secrets) for work, secrets in works}) == 1
