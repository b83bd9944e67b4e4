"""deleteAccount."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, func, select

from graphql_mfa.services import Services
from graphql_mfa.store.models import Base, SecurityEventRow
from tests.account import act
from tests.api.answers import CHALLENGE_EXPIRED, failure
from tests.api.scenarios import RunApp
from tests.api_client import Api
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect
from tests.security.attacks import at_once, kinds, scalar

DELETED = {"__typename": "AccountDeleted", "username": "Alice"}
SESSION_ENDED = failure("NotAuthenticated", reason="SESSION_ENDED")


async def test_every_token_and_factor_of_the_deleted_account_stops_working(api: Api, clock: Clock) -> None:
    member = await api.member("Alice")
    other = (await api.verify_otp(await api.challenge(), code_at(member.secret, clock())))["tokens"]
    challenge = await api.challenge()
    assert await act(api, "deleteAccount", other["accessToken"]) == DELETED
    for token in (member.access_token, other["accessToken"]):
        assert await api.me(token) is None
        assert await act(api, "regenerateRecoveryCodes", token) == SESSION_ENDED
        assert await act(api, "deleteAccount", token) == SESSION_ENDED
    for token in (member.refresh_token, other["refreshToken"]):
        assert (await api.refresh(token))["__typename"] == "SessionExpired"
        assert await api.logout(refresh_token=token) == SESSION_ENDED
    assert await api.verify_otp(challenge, code_at(member.secret, clock(), 1)) == CHALLENGE_EXPIRED
    assert await api.verify_recovery_code(challenge, member.recovery_codes[0]) == CHALLENGE_EXPIRED
    assert (await api.login())["__typename"] == "InvalidCredentials"


async def test_the_name_is_reserved_for_thirty_days(api: Api, clock: Clock) -> None:
    member = await api.member("Alice")
    assert await act(api, "deleteAccount", member.access_token) == DELETED
    assert (await api.register("ALICE"))["__typename"] == "UsernameTaken"
    clock.advance(timedelta(days=30).total_seconds() - 1)
    assert (await api.register("alice"))["__typename"] == "UsernameTaken"
    clock.advance(1)
    assert (await api.register("alice"))["__typename"] == "RegisterUserSuccess"


async def test_names_that_look_like_the_deleted_one_are_reserved_too(api: Api, clock: Clock) -> None:
    member = await api.member("bobby")
    assert (await act(api, "deleteAccount", member.access_token))["__typename"] == "AccountDeleted"
    assert (await api.register("b0bby"))["__typename"] == "UsernameTaken"
    clock.advance(timedelta(days=30).total_seconds())
    assert (await api.register("b0bby"))["__typename"] == "RegisterUserSuccess"
    assert (await api.register("bobby"))["__typename"] == "UsernameTaken"


async def test_no_personal_data_is_left(api: Api, services: Services, clock: Clock) -> None:
    member = await api.member("Alice")
    user_id = UUID(member.session["user"]["id"])
    await api.login("alice", "wrong battery horse staple")
    challenge = await api.challenge()
    await api.verify_otp(challenge, wrong_code(member.secret, clock()))
    await api.verify_recovery_code(challenge, "0000-0000-0000-0000-0000-0000")
    await api.refresh(member.refresh_token)
    assert await act(api, "deleteAccount", member.access_token) == DELETED

    def rows(connection: Connection) -> dict[str, Any]:
        tables = Base.metadata.tables
        return {name: connection.execute(select(table)).mappings().all() for name, table in tables.items()}

    left = {name: found for name, found in (await services.database.read(rows)).items() if found}
    # Remaining throttles: registrations, four login limits of an address, and an ended session.
    assert left.keys() == {"mfa_reserved_names", "mfa_security_events", "mfa_throttles"}
    assert len(left["mfa_throttles"]) == 6
    everything = repr(left)
    for personal in (repr(user_id), user_id.hex, str(user_id), "alice", "Alice", "10.0.0.1", "httpx"):
        assert personal not in everything


async def test_events_are_kept_without_personal_data(api: Api, services: Services) -> None:
    alice, bob = await api.member("Alice"), await api.member("bob")
    await act(api, "deleteAccount", alice.access_token)
    await api.me(bob.access_token)
    columns = (
        SecurityEventRow.user_id,
        SecurityEventRow.kind,
        SecurityEventRow.ip_address,
        SecurityEventRow.user_agent,
    )
    events = await services.database.read(lambda connection: connection.execute(select(*columns)).all())
    bobs = [event for event in events if event.user_id == UUID(bob.session["user"]["id"])]
    alices = [event for event in events if event not in bobs]
    assert {event.kind for event in alices} == {"REGISTERED", "ENROLLMENT_CONFIRMED", "SIGNED_IN", "ACCOUNT_DELETED"}
    assert len({event.user_id for event in alices} - {UUID(alice.session["user"]["id"])}) == 1
    assert {(event.ip_address, event.user_agent) for event in alices} == {(None, None)}
    assert [event.ip_address for event in bobs] == ["10.0.0.1"] * 3


async def test_events_are_removed_when_the_setting_says_so(run_app: RunApp, connect: Connect) -> None:
    async with run_app(deleted_account_events="remove") as app:
        api = connect(app)
        alice, bob = await api.member("Alice"), await api.member("bob")
        assert await act(api, "deleteAccount", alice.access_token) == DELETED
        owners = await app.state.services.database.read(
            lambda connection: set(connection.scalars(select(SecurityEventRow.user_id)))
        )
    assert owners == {UUID(bob.session["user"]["id"])}


async def test_other_accounts_are_unchanged(api: Api, services: Services) -> None:
    alice, bob = await api.member("Alice"), await api.member("bob")
    before = await api.me(bob.access_token)
    assert await act(api, "deleteAccount", alice.access_token) == DELETED
    assert await api.me(bob.access_token) == before
    assert await scalar(services, "SELECT count(*) FROM mfa_recovery_codes") == 10


async def test_one_of_several_parallel_deletions_succeeds(api: Api, services: Services, clock: Clock) -> None:
    member = await api.member("Alice")
    other = (await api.verify_otp(await api.challenge(), code_at(member.secret, clock())))["tokens"]
    tokens = [member.access_token, other["accessToken"]] * 5
    answers = await at_once(act(api, "deleteAccount", token) for token in tokens)
    assert kinds(answers) == {"AccountDeleted": 1, "NotAuthenticated": 9}
    assert {answer["reason"] for answer in answers if answer["__typename"] == "NotAuthenticated"} == {"SESSION_ENDED"}
    deletions = select(func.count()).where(SecurityEventRow.kind == "ACCOUNT_DELETED")
    assert await services.database.read(lambda connection: connection.scalar(deletions)) == 1


async def test_a_name_can_be_deleted_again_before_its_first_reservation_is_purged(api: Api, clock: Clock) -> None:
    for _ in range(2):
        member = await api.member("Alice")
        assert await act(api, "deleteAccount", member.access_token) == DELETED
        clock.advance(timedelta(days=30).total_seconds())


@pytest.mark.parametrize("token", [None, "nonsense"])
async def test_deletion_without_a_session_does_nothing(api: Api, services: Services, token: str | None) -> None:
    await api.member()
    assert (await act(api, "deleteAccount", token))["__typename"] == "NotAuthenticated"
    assert await scalar(services, "SELECT count(*) FROM mfa_users") == 1
