"""Race: get in, or leave something behind, while a user deletes their account."""

import asyncio
from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.util import await_only

from graphql_mfa.core.accounts import Account
from graphql_mfa.flows import operators
from graphql_mfa.flows.accounts import delete_personal_data
from graphql_mfa.services import OPERATOR, Services, Transaction
from graphql_mfa.store import sessions
from graphql_mfa.store.models import SecurityEventRow
from graphql_mfa.store.outages import UnavailableError
from tests.account import act
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.clock import WAIT
from tests.conftest import on_each_engine, postgresql_only
from tests.security.attacks import WRONG_PASSWORD, at_once, kinds, real_member, scalar

pytestmark = on_each_engine

ROUNDS = 4


async def attempts_at(api: Api, member: Member) -> list[Awaitable[Result]]:
    """Everything that could open or renew a session, or write of the account, prepared but not sent."""
    challenges = [await api.challenge(member.username) for _ in range(2)]
    return [
        api.verify_otp(challenges[0], code_at(member.secret, api.clock(), 1)),
        api.verify_recovery_code(challenges[1], member.recovery_codes[0]),
        api.login(member.username),
        api.login(member.username, WRONG_PASSWORD),
        *(api.refresh(member.refresh_token) for _ in range(3)),
        act(api, "reauthenticate", member.access_token, input={"recoveryCode": member.recovery_codes[1]}),
        act(api, "regenerateRecoveryCodes", member.access_token),
    ]


EXPECTED = {
    *("SignedIn", "ChallengeExpired", "OtpRequired", "InvalidCredentials", "SessionExpired", "RecoveryCodes"),
    *("NotAuthenticated", "Reauthenticated", "AccountDeleted", "InvalidRecoveryCode"),
}


def tokens_of(answers: list[Result]) -> list[Result]:
    return [answer["tokens"] for answer in answers if answer["__typename"] == "SignedIn"]


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_race_of_everything_against_the_deletion_at_two_processes(
    processes: list[Api], username: str, number: int
) -> None:
    """Whichever comes first: no fault of the server's, and afterwards nothing is open."""
    one, other = processes
    member = await real_member(one, username)
    deleting = act(one, "deleteAccount", member.access_token)
    attempts = await attempts_at(other, member)
    # At another place in the queue each time.
    answers = await at_once([*attempts[: number * 3], deleting, *attempts[number * 3 :]])

    assert kinds(answers).keys() <= EXPECTED
    assert kinds(answers)["AccountDeleted"] == 1
    for tokens in [*tokens_of(answers), member.session["tokens"]]:
        assert await other.me(tokens["accessToken"]) is None
        assert (await one.refresh(tokens["refreshToken"]))["__typename"] == "SessionExpired"
    for answer in answers:
        if answer["__typename"] == "OtpRequired":
            late = await one.verify_otp(answer["challenge"], code_at(member.secret, one.clock(), 1))
            assert late["__typename"] == "ChallengeExpired"
    assert (await other.register(username))["__typename"] == "UsernameTaken"


async def test_race_of_deletions_at_two_processes(processes: list[Api], username: str) -> None:
    member = await real_member(processes[0], username)
    answers = await at_once(act(api, "deleteAccount", member.access_token) for api in processes * 5)
    assert kinds(answers) == {"AccountDeleted": 1, "NotAuthenticated": 9}


async def test_race_leaves_no_event_that_names_the_account(api: Api, services: Services) -> None:
    member = await api.member()
    user_id = UUID(member.session["user"]["id"])
    attempts = await attempts_at(api, member)
    answers = await at_once([*attempts, act(api, "deleteAccount", member.access_token)])

    assert kinds(answers).keys() <= EXPECTED
    assert answers[-1]["__typename"] == "AccountDeleted"
    named = select(func.count()).where(SecurityEventRow.user_id == user_id)
    assert await services.database.read(lambda connection: connection.scalar(named)) == 0
    assert await scalar(services, "SELECT count(*) FROM mfa_sessions") == 0


@pytest.mark.parametrize("password", ["correct horse battery staple", WRONG_PASSWORD])
async def test_race_of_a_password_that_is_being_hashed(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """It opens nothing when the account is deleted meanwhile, and nothing remembers that it was tried."""
    member = await api.member()
    user_id = UUID(member.session["user"]["id"])
    run = services.hashing.run

    async def run_while_the_owner_deletes(*arguments: object, **named: object) -> object:
        assert (await act(api, "deleteAccount", member.access_token))["__typename"] == "AccountDeleted"
        return await run(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(services.hashing, "run", run_while_the_owner_deletes)
    assert (await api.login(password=password))["__typename"] == "InvalidCredentials"
    assert await scalar(services, "SELECT count(*) FROM mfa_challenges") == 0
    kept = select(func.count()).where(
        (SecurityEventRow.user_id == user_id) | (SecurityEventRow.kind == "SIGN_IN_FAILED")
    )
    assert await services.database.read(lambda connection: connection.scalar(kept)) == 0


@postgresql_only
async def test_race_of_a_repeated_refresh_delays_the_deletion(
    api: Api, services: Services, operator: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Session and account are not deleted between the two reads."""
    member = await api.member()
    await api.refresh(member.refresh_token)
    find = sessions.lock_by_refresh_token

    def find_while_the_account_is_deleted(connection: Connection, *arguments: Any) -> Any:
        found = find(connection, *arguments)
        assert found is not None
        account = Account(found.user_id, "alice", api.clock(), mfa_enabled=True, recovery_codes_left=0)

        def delete(other: Connection) -> None:
            other.execute(text("SET LOCAL lock_timeout = '10ms'"))
            delete_personal_data(Transaction(other, services, OPERATOR, api.clock()), account)

        with pytest.raises(UnavailableError, match="lock timeout"):
            await_only(operator.database.write(delete))
        return found

    monkeypatch.setattr(sessions, "lock_by_refresh_token", find_while_the_account_is_deleted)
    assert (await api.refresh(member.refresh_token))["__typename"] == "SignedIn"


@postgresql_only
async def test_race_of_a_detected_token_reuse_against_the_deletion(
    api: Api, services: Services, operator: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events recorded while the deletion waits contain no name either."""
    member = await api.member()
    user_id = UUID(member.session["user"]["id"])
    await api.refresh(member.refresh_token)
    api.clock.advance(11)
    end = sessions.end
    deletions: list[asyncio.Task[bool | None]] = []
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    async def wait_until_it_waits() -> None:
        async with asyncio.timeout(WAIT):
            while not await operator.database.read(lambda connection: connection.scalar(waiting)):
                pass

    def end_while_the_account_is_deleted(connection: Connection, session_id: UUID) -> int:
        ended = end(connection, session_id)
        deletion = operators.delete(operator, "alice")
        deletions.append(asyncio.ensure_future(deletion))
        await_only(wait_until_it_waits())
        return ended

    monkeypatch.setattr(sessions, "end", end_while_the_account_is_deleted)
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"
    assert await deletions[0]
    events = select(SecurityEventRow.user_id, SecurityEventRow.kind, SecurityEventRow.ip_address)
    left = await services.database.read(lambda connection: connection.execute(events).all())
    assert "REFRESH_TOKEN_REUSED" in {event.kind for event in left}
    assert not [event for event in left if event.user_id == user_id or event.ip_address]
