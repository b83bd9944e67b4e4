"""Attack: have so much recorded of an account that it can't be deleted, or that its deletion makes others wait."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, insert, select

from graphql_mfa.flows import operators
from graphql_mfa.flows.purging import purge
from graphql_mfa.services import Services
from graphql_mfa.store.models import SecurityEventRow
from tests.account import act
from tests.api.scenarios import RunApp
from tests.api_client import Api, Member
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.security.attacks import scalar
from tests.statements import changed_rows

pytestmark = on_each_engine

EVENTS = 1200
MOST_ROWS = 500

Delete = Callable[[Api, Services, Member], Awaitable[object]]


async def by_its_owner(api: Api, services: Services, member: Member) -> object:
    return await act(api, "deleteAccount", member.access_token)


async def by_an_operator(api: Api, services: Services, member: Member) -> object:
    return await operators.delete(services, member.username)


async def add_events(services: Services, user: UUID, clock: Clock) -> None:
    row = {"user_id": user, "kind": "SIGN_IN_FAILED", "at": clock(), "ip_address": "203.0.113.9"}
    events = [row | {"id": uuid4(), "user_agent": "curl"} for _ in range(EVENTS)]
    await services.database.write(lambda connection: connection.execute(insert(SecurityEventRow), events))


async def member_with_events(api: Api, services: Services, username: str = "alice") -> tuple[Member, UUID]:
    member = await api.member(username)
    user = UUID(member.session["user"]["id"])
    await add_events(services, user, api.clock)
    return member, user


async def events_of(services: Services, user: UUID) -> int:
    named = select(func.count()).where(SecurityEventRow.user_id == user)
    return await services.database.read(lambda connection: connection.scalar(named)) or 0


async def purge_now(services: Services) -> None:
    await purge(services.database, services.settings, services.clock())


@pytest.mark.parametrize("delete", [by_its_owner, by_an_operator])
async def test_a_deletion_changes_a_bounded_number_of_rows_and_the_purge_does_the_rest(
    run_app: RunApp, connect: Connect, delete: Delete
) -> None:
    with changed_rows() as changed:
        async with run_app() as app:
            api = connect(app)
            member, user = await member_with_events(api, app.state.services)
            changed.clear()
            assert await delete(api, app.state.services, member)
            assert await api.me(member.access_token) is None
            assert (await api.login())["__typename"] == "InvalidCredentials"
            assert (await api.register())["__typename"] == "UsernameTaken"
            assert 0 < await events_of(app.state.services, user) < EVENTS
        async with run_app() as app:  # as after a kill in between: the rest is noted in the store
            services = app.state.services
            await purge_now(services)
            assert await events_of(services, user) == 0
            owners = select(
                SecurityEventRow.user_id, SecurityEventRow.ip_address, SecurityEventRow.user_agent
            ).distinct()
            ((owner, *client),) = await services.database.read(lambda connection: connection.execute(owners).all())
            assert (owner != user, client) == (True, [None, None])
            assert await scalar(services, "SELECT count(*) FROM mfa_deletions") == 0
    assert max(changed) == MOST_ROWS


async def test_no_event_is_left_when_the_setting_removes_events(run_app: RunApp, connect: Connect) -> None:
    async with run_app(deleted_account_events="remove") as app:
        api, services = connect(app), app.state.services
        member, user = await member_with_events(api, services)
        await act(api, "deleteAccount", member.access_token)
        assert await events_of(services, user) > 0
        await purge_now(services)
        assert await scalar(services, "SELECT count(*) FROM mfa_security_events") == 0


async def test_parallel_purges_leave_no_event_that_names_the_account(api: Api, services: Services) -> None:
    members = [await member_with_events(api, services, f"user-{number}") for number in range(3)]
    for member, _ in members:
        await act(api, "deleteAccount", member.access_token)
    await asyncio.gather(*(purge_now(services) for _ in range(4)))
    assert [await events_of(services, user) for _, user in members] == [0, 0, 0]
    assert await scalar(services, "SELECT count(*) FROM mfa_deletions") == 0


async def test_an_abandoned_registration_with_many_events_is_purged_in_steps(
    api: Api, services: Services, clock: Clock
) -> None:
    await api.register("abandoned")
    user = UUID(await scalar(services, "SELECT CAST(id AS VARCHAR) FROM mfa_users"))
    await add_events(services, user, clock)
    clock.advance(86_400)
    with changed_rows() as changed:
        await purge_now(services)
    assert await events_of(services, user) == 0
    assert max(changed) == MOST_ROWS
