"""Purging, by hand and by itself."""

import asyncio
import logging
from collections import Counter
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from graphql_mfa.flows.purging import PurgeError, purge
from graphql_mfa.services import Services
from graphql_mfa.settings import Settings
from graphql_mfa.store import purging
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import ChallengeRow, SecurityEventRow
from tests.api.scenarios import RunApp
from tests.api_client import Api
from tests.clock import WAIT, Clock
from tests.conftest import Connect, on_each_engine
from tests.store import rows

pytestmark = on_each_engine


async def purge_now(services: Services) -> dict[str, int]:
    return await purge(services.database, services.settings, services.clock())


async def test_purging_continues_until_no_expired_row_is_left(
    run_app: RunApp, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphql_mfa.flows.purging.BATCH_ROWS", 2)

    def fill(connection: Connection) -> None:
        user = rows.add_user(connection)
        for number in range(7):
            rows.add_challenge(connection, user, expires_at=clock() if number < 5 else rows.LATER)

    async with run_app() as app:
        services = app.state.services
        await services.database.write(fill)
        assert +Counter(await purge_now(services)) == {"challenges": 5}
        assert not +Counter(await purge_now(services))
        kept = await services.database.read(
            lambda connection: connection.scalar(select(func.count(ChallengeRow.digest)))
        )
    assert kept == 2


async def test_purging_frees_the_name_of_an_enrollment_and_ends_an_expired_session(
    api: Api, services: Services, clock: Clock
) -> None:
    member = await api.member()
    await api.register("abandoned")
    clock.advance(86_400)
    purged = await purge_now(services)
    assert (purged["users"], purged["sessions"]) == (1, 1)
    assert (await api.register("abandoned"))["__typename"] == "RegisterUserSuccess"
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"
    assert (await api.login())["__typename"] == "OtpRequired", "the account itself stays"


@pytest.mark.parametrize("by", ["purge", "registration"])
async def test_purging_an_abandoned_registration_deletes_its_addresses(
    api: Api, services: Services, clock: Clock, by: str
) -> None:
    """Attack: read names of abandoned registrations after their expiry, or fill the disk with them."""
    await api.member()
    abandoned = await api.register("abandoned")
    await api.login("abandoned", "a wrong password")
    clock.advance(86_400)
    if by == "purge":
        await purge_now(services)
    else:
        assert (await api.register("abandoned"))["__typename"] == "RegisterUserSuccess"
    owners = await services.database.read(lambda connection: set(connection.scalars(select(SecurityEventRow.user_id))))
    assert UUID(abandoned["user"]["id"]) not in owners
    assert owners, "those of others stay"


async def test_a_server_purges_periodically_even_after_a_failure(
    run_app: RunApp, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0
    purged = asyncio.Event()

    async def purge_at_the_second_try(database: Database, settings: Settings, now: datetime) -> dict[str, int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OperationalError("DELETE FROM hunter2", {}, Exception("hunter2"))
        purged.set()
        return await purge(database, settings, now)

    monkeypatch.setattr("graphql_mfa.mfa.purge", purge_at_the_second_try)
    monkeypatch.setattr("graphql_mfa.mfa.random.uniform", lambda *_: 0.001)
    with caplog.at_level(logging.WARNING, "graphql_mfa"):
        async with run_app(purge_interval_seconds=1) as app:
            await connect(app).register()
            await asyncio.wait_for(purged.wait(), WAIT)
    assert [record.getMessage() for record in caplog.records] == ["Purging failed, will try again: OperationalError"]


def fail(_: object) -> NoReturn:
    raise OperationalError("DELETE FROM hunter2", {}, Exception("hunter2"))


def break_table(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    batches = purging.batches
    monkeypatch.setattr(purging, "batches", lambda *given, **named: batches(*given, **named) | {table: fail})


async def test_an_error_in_one_table_does_not_stop_the_purge_of_others(
    api: Api, services: Services, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register("abandoned")
    clock.advance(86_400)
    break_table(monkeypatch, "challenges")
    with pytest.raises(PurgeError) as raised:
        await purge_now(services)
    assert str(raised.value) == "challenges: OperationalError"
    assert (await api.register("abandoned"))["__typename"] == "RegisterUserSuccess"


async def test_tables_take_turns(run_app: RunApp, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog in one is not worked off before the others have their turn."""
    turns: list[str] = []
    batches = purging.batches

    def watched(*given: Any, **named: Any) -> dict[str, purging.Batch]:
        def watch(table: str, batch: purging.Batch) -> purging.Batch:
            return lambda connection: turns.append(table) or batch(connection)  # type: ignore[func-returns-value]

        return {table: watch(table, batch) for table, batch in batches(*given, **named).items()}

    def fill(connection: Connection) -> None:
        user = rows.add_user(connection)
        for _ in range(4):
            rows.add_challenge(connection, user, expires_at=clock())

    monkeypatch.setattr(purging, "batches", watched)
    monkeypatch.setattr("graphql_mfa.flows.purging.BATCH_ROWS", 2)
    async with run_app() as app:
        await app.state.services.database.write(fill)
        await purge_now(app.state.services)
    tables = list(dict.fromkeys(turns))
    assert turns == [*tables, "challenges", "challenges"]
