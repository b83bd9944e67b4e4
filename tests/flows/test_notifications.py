"""Delivery of security events to a receiver in the process, while it, the store or the process fails."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Row, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from graphql_mfa import GraphQLMFA, SecurityEvent, Settings
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows import notifications
from graphql_mfa.flows.notifications import retry, undelivered
from graphql_mfa.services import OPERATOR, Services, Transaction
from graphql_mfa.store import outbox
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import OutboxRow
from graphql_mfa.store.models import SecurityEventRow as StoredEvent
from graphql_mfa.testing import SoftwarePasskey
from tests import passkeys
from tests.api.scenarios import NO_RECOVERY_CODE, RunApp, reset_password
from tests.api_client import Api
from tests.clock import WAIT, Clock
from tests.conftest import Connect, on_each_engine, postgresql_only
from tests.metrics import Scrape
from tests.passkeys import PASSKEYS
from tests.store import rows

pytestmark = on_each_engine

DOWN = "hunter2 is no reason that may be logged"


class Receiver:
    """A receiver of events. It fails for the accounts in `down_for`, and waits for the gate of each account."""

    def __init__(self) -> None:
        self.received: list[SecurityEvent] = []
        self.tried: list[SecurityEvent] = []
        self.down_for: set[str] = set()
        self.gates: dict[str, asyncio.Event] = defaultdict(_open)
        self.under_way: set[object] = set()
        self.overlapped = False

    async def __call__(self, event: SecurityEvent) -> None:
        self.tried.append(event)
        self.overlapped |= event.user_id in self.under_way
        self.under_way.add(event.user_id)
        try:
            await self.gates[event.username or ""].wait()
            if event.username in self.down_for:
                raise RuntimeError(DOWN)
            self.received.append(event)
        finally:
            self.under_way.discard(event.user_id)

    def kinds(self, username: str) -> list[str]:
        return [event.kind.value for event in self.received if event.username == username]


def _open() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "_POLL_SECONDS", 0.01)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


async def messages(database: Database) -> Sequence[Row[Any]]:
    """The rows of the outbox."""
    query = select(*OutboxRow.__table__.columns).order_by(OutboxRow.number)
    found = await database.read(lambda connection: connection.execute(query).all())
    await asyncio.sleep(0)  # reading from SQLite does not yield to other tasks
    return found


async def until_empty(database: Database) -> None:
    async with asyncio.timeout(WAIT):
        while await messages(database):
            pass


async def record(services: Services, username: str, *kinds: SecurityEventKind) -> None:
    """Events of a new account."""
    user = await services.database.write(partial(rows.add_user, username=username))
    await services.write(OPERATOR, lambda transaction: transaction.record(user, *kinds))


async def test_every_event_is_delivered_in_order_with_its_details(
    run_app: RunApp, connect: Connect, receiver: Receiver, clock: Clock
) -> None:
    now = clock()
    async with run_app(on_event=receiver) as app:
        member = await connect(app, "192.0.2.7").member()
        await until_empty(app.state.services.database)
    assert receiver.kinds("alice") == ["REGISTERED", "ENROLLMENT_CONFIRMED", "SIGNED_IN"]
    event = receiver.received[-1]
    assert str(event.user_id) == member.session["user"]["id"]
    assert (event.ip_address, event.at) == ("192.0.2.7", now)
    assert (event.user_agent or "").startswith("python-httpx/")


async def test_a_delivered_event_names_its_factor(run_app: RunApp, connect: Connect, receiver: Receiver) -> None:
    async with run_app(on_event=receiver, **PASSKEYS) as app:
        api = connect(app)
        member, key = await api.member(), SoftwarePasskey()
        await passkeys.added(api, member.access_token, key)
        await passkeys.sign_in(api, key)
        await passkeys.sign_in(api, SoftwarePasskey(), await api.challenge())
        await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
        await until_empty(app.state.services.database)
    assert [(event.kind.value, event.factor) for event in receiver.received] == [
        ("REGISTERED", None),
        ("ENROLLMENT_CONFIRMED", FactorKind.TOTP),
        ("SIGNED_IN", FactorKind.TOTP),
        ("PASSKEY_ADDED", FactorKind.PASSKEY),
        ("SIGNED_IN", FactorKind.PASSKEY),
        ("SIGN_IN_FAILED", FactorKind.PASSKEY),
        ("RECOVERY_CODE_USED", FactorKind.RECOVERY_CODE),
        ("SIGNED_IN", FactorKind.RECOVERY_CODE),
    ]


async def test_a_message_is_written_by_the_transaction_that_it_describes(services: Services) -> None:
    services = replace(services, sinks=("hook",))

    def act(transaction: Transaction, *, fail: bool) -> None:
        user = rows.add_user(transaction.connection)
        transaction.record(user, SecurityEventKind.REGISTERED)
        if fail:
            raise LookupError

    with pytest.raises(LookupError):
        await services.write(OPERATOR, partial(act, fail=True))
    assert await messages(services.database) == []
    await services.write(OPERATOR, partial(act, fail=False))
    assert [message.username for message in await messages(services.database)] == ["alice"]


def fail_at_commit(connection: Connection) -> None:
    deferred = "id integer PRIMARY KEY, other integer REFERENCES late DEFERRABLE INITIALLY DEFERRED"
    connection.execute(text(f"CREATE TEMPORARY TABLE late ({deferred})"))
    connection.execute(text("INSERT INTO late VALUES (1, 2)"))


async def test_only_a_commit_that_queued_events_wakes_the_notifier(services: Services) -> None:
    steps: list[str] = []
    services = replace(services, sinks=("hook",), wake_notifier=lambda: steps.append("woken"))

    def act(
        transaction: Transaction,
        name: str,
        *kinds: SecurityEventKind,
        then: Callable[[Connection], object] = lambda _: None,
    ) -> str:
        user = rows.add_user(transaction.connection, username=name)
        for kind in kinds:
            transaction.record(user, kind)
        steps.append(name)
        then(transaction.connection)
        return name

    both = (SecurityEventKind.REGISTERED, SecurityEventKind.SIGNED_IN)
    assert await services.write(OPERATOR, lambda transaction: act(transaction, "records", *both)) == "records"
    assert await services.write(OPERATOR, lambda transaction: act(transaction, "records nothing")) == "records nothing"
    with pytest.raises(ZeroDivisionError):
        await services.write(OPERATOR, lambda transaction: act(transaction, "raises", *both, then=lambda _: 1 / 0))
    with pytest.raises(IntegrityError):
        await services.write(OPERATOR, lambda transaction: act(transaction, "fails", *both, then=fail_at_commit))
    services = replace(services, sinks=())
    await services.write(OPERATOR, lambda transaction: act(transaction, "without a sink", *both))
    assert steps == ["records", "woken", "records nothing", "raises", "fails", "without a sink"]


@postgresql_only
@pytest.mark.parametrize(("conflicts", "recording", "wakes"), [(1, {1, 2}, 1), (1, {1}, 0), (5, {1, 2, 3, 4, 5}, 0)])
async def test_a_retry_wakes_the_notifier_only_for_the_try_that_commits(
    services: Services, conflicts: int, recording: set[int], wakes: int
) -> None:
    tries: list[int] = []
    woken: list[int] = []
    services = replace(services, sinks=("hook",), wake_notifier=lambda: woken.append(len(tries)))
    conflict = text("DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = 'serialization_failure'; END $$")

    def act(transaction: Transaction) -> None:
        tries.append(len(tries) + 1)
        user = rows.add_user(transaction.connection)
        if len(tries) in recording:
            transaction.record(user, SecurityEventKind.REGISTERED)
        if len(tries) <= conflicts:
            transaction.connection.execute(conflict)

    with nullcontext() if conflicts < 5 else pytest.raises(DBAPIError):
        await services.write(OPERATOR, act)
    assert len(tries) == min(conflicts + 1, 5)
    assert woken == [len(tries)] * wakes


async def test_without_a_sink_nothing_is_written(api: Api, services: Services) -> None:
    await api.member()
    assert await messages(services.database) == []


async def test_a_wrong_password_or_reset_is_no_event(run_app: RunApp, connect: Connect, receiver: Receiver) -> None:
    async with run_app(on_event=receiver) as app:
        api = connect(app)
        await api.register()
        for name in ("nobody", "alice"):
            assert (await api.login(name, "wrong horse battery staple"))["__typename"] == "InvalidCredentials"
            assert (await reset_password(api, "000000", NO_RECOVERY_CODE, name))["__typename"] == "ResetRejected"
        await until_empty(app.state.services.database)
    assert [(event.username, event.kind) for event in receiver.tried] == [
        ("alice", "REGISTERED"),
    ]


async def test_a_failed_delivery_delays_later_events_of_its_account_only(
    run_app: RunApp, receiver: Receiver, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.down_for.add("alice")
    async with run_app(on_event=receiver) as app:
        services = app.state.services
        await record(services, "alice", SecurityEventKind.REGISTERED, SecurityEventKind.SIGNED_IN)
        await until(lambda: receiver.tried)
        await record(services, "bob", SecurityEventKind.REGISTERED)
        await until(lambda: receiver.kinds("bob"))
        assert [event.kind for event in receiver.tried if event.username == "alice"] == ["REGISTERED"]
        receiver.down_for.clear()
        clock.advance(6)
        await until_empty(services.database)
    assert receiver.kinds("alice") == ["REGISTERED", "SIGNED_IN"]
    assert "Delivering an event to hook failed, attempt 1: RuntimeError" in caplog.messages
    assert DOWN not in caplog.text


async def test_two_processes_deliver_one_event_of_an_account_at_a_time_and_no_event_twice(
    run_app: RunApp, receiver: Receiver
) -> None:
    names = [f"user {number}" for number in range(12)]
    kinds = [SecurityEventKind.REGISTERED, SecurityEventKind.ENROLLMENT_CONFIRMED, SecurityEventKind.SIGNED_IN]
    gate = receiver.gates["user 0"] = asyncio.Event()
    async with AsyncExitStack() as stack:
        apps: list[FastAPI] = [await stack.enter_async_context(run_app(on_event=receiver)) for _ in range(2)]
        for number, name in enumerate(names):
            await record(apps[number % 2].state.services, name, *kinds)
        await until(lambda: len(receiver.received) == len(kinds) * (len(names) - 1))
        gate.set()
        await until_empty(apps[0].state.services.database)
    assert not receiver.overlapped
    assert len(receiver.tried) == len(kinds) * len(names)
    assert {name: receiver.kinds(name) for name in names} == {name: [kind.value for kind in kinds] for name in names}


async def test_a_slow_receiver_delays_neither_sign_ins_nor_events_of_other_accounts(
    run_app: RunApp, connect: Connect, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "DELIVERY_SECONDS", 300)
    slow = [f"slow {number}" for number in range(notifications.MAX_DELIVERIES)]
    for name in slow:
        receiver.gates[name] = asyncio.Event()
    async with run_app(on_event=receiver) as app:
        services = app.state.services
        for name in slow[1:]:
            await record(services, name, SecurityEventKind.SIGNED_IN)
        await until(lambda: len(receiver.under_way) == len(slow) - 1)
        await connect(app).member("alice")
        await until(lambda: len(receiver.kinds("alice")) == 3)

        await record(services, slow[0], SecurityEventKind.SIGNED_IN)
        await until(lambda: len(receiver.under_way) == len(slow))
        # Now all deliveries are slow: events wait, sign-ins don't.
        await connect(app).member("bob")
        assert receiver.kinds("bob") == []
        receiver.gates[slow[0]].set()
        await until(lambda: len(receiver.kinds("bob")) == 3)
        for name in slow:
            receiver.gates[name].set()
        await until_empty(services.database)


async def test_a_delivery_past_the_time_limit_fails(
    run_app: RunApp, receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "DELIVERY_SECONDS", 0.1)
    receiver.gates["alice"] = asyncio.Event()
    async with run_app(on_event=receiver) as app:
        await record(app.state.services, "alice", SecurityEventKind.SIGNED_IN)
        await until(lambda: caplog.messages)
    assert caplog.messages == ["Delivering an event to hook failed, attempt 1: TimeoutError"]
    assert receiver.under_way == set()


async def test_the_stored_exception_class_is_shortened(run_app: RunApp) -> None:
    async def on_event(_: SecurityEvent) -> None:
        raise type("E" * 300, (Exception,), {})(DOWN)

    async with run_app(on_event=on_event) as app:
        await record(app.state.services, "alice", SecurityEventKind.SIGNED_IN)
        async with asyncio.timeout(WAIT):
            while not (errors := [message.last_error for message in await messages(app.state.services.database)])[0]:
                pass
    assert errors == ["E" * 100]


async def test_deliveries_are_retried_for_three_days_and_then_given_up(
    run_app: RunApp, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphql_mfa.flows.notifications.random.uniform", lambda *_: 1)
    receiver.down_for.add("alice")
    start = clock()
    since_start: list[timedelta] = []
    async with run_app(on_event=receiver) as app:
        services = app.state.services

        async def settled(tries: int) -> datetime | None:
            """When it is due again after that many tries."""
            async with asyncio.timeout(WAIT):
                while True:
                    (message,) = await messages(services.database)
                    if message.attempts == tries and message.due_at != clock() + timedelta(seconds=40):
                        due_at: datetime | None = message.due_at
                        return due_at

        await record(services, "alice", SecurityEventKind.SIGNED_IN)
        while due_at := await settled(len(since_start) + 1):
            since_start.append(due_at - start)
            clock.now = due_at
        assert [str(time) for time in since_start] == [
            *("0:00:05", "0:05:05", "0:35:05", "2:35:05", "7:35:05", "17:35:05"),
            *("1 day, 7:35:05", "2 days, 3:35:05", "3 days, 0:00:00"),
        ]
        (state,) = await undelivered(services.database)
        assert (state.waiting, state.dead, state.oldest) == (0, 1, start)
        assert state.errors == {"RuntimeError": 1}

        receiver.down_for.clear()
        clock.advance(86_400)
        assert await retry(services.database, clock()) == 1
        await until_empty(services.database)
    assert len({event.id for event in receiver.tried}) == 1
    assert receiver.kinds("alice") == ["SIGNED_IN"]


async def test_a_lost_database_does_not_end_the_deliveries(
    run_app: RunApp, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost = OperationalError("SELECT hunter2", {}, Exception("hunter2"))

    def once(name: str) -> None:
        function = getattr(outbox, name)

        def fail(*_: object, **__: object) -> None:
            monkeypatch.setattr(outbox, name, function)
            raise lost

        monkeypatch.setattr(outbox, name, fail)

    once("due")
    once("delivered")
    async with run_app(on_event=receiver) as app:
        await record(app.state.services, "alice", SecurityEventKind.SIGNED_IN)
        await until(lambda: len(caplog.messages) == 2)
        clock.advance(40)  # the lease is over
        await until_empty(app.state.services.database)
    assert caplog.messages == [
        "Polling the outbox failed, will try again: OperationalError",
        "Storing a delivery's result failed, it will be repeated: OperationalError",
    ]
    assert len(receiver.received) == 2
    assert len({event.id for event in receiver.received}) == 1


async def test_a_stopping_server_finishes_running_deliveries_and_starts_no_others(
    run_app: RunApp, receiver: Receiver, make_settings: Callable[..., Settings]
) -> None:
    gate = receiver.gates["alice"] = asyncio.Event()
    async with run_app(on_event=receiver) as app:
        await record(app.state.services, "alice", SecurityEventKind.REGISTERED, SecurityEventKind.SIGNED_IN)
        await until(lambda: receiver.under_way)
        asyncio.get_running_loop().call_later(0.05, gate.set)
    assert receiver.kinds("alice") == ["REGISTERED"]
    database = Database(make_settings().database_url)
    assert [message.kind for message in await messages(database)] == ["SIGNED_IN"]
    await database.close()


async def test_a_delivery_that_hangs_is_cancelled_at_shutdown_and_repeated_later(
    run_app: RunApp, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "_STOP_SECONDS", 0.01)
    gate = receiver.gates["alice"] = asyncio.Event()
    async with run_app(on_event=receiver) as app:
        await record(app.state.services, "alice", SecurityEventKind.SIGNED_IN)
        await until(lambda: receiver.under_way)
    assert (receiver.received, receiver.under_way) == ([], set())
    gate.set()
    clock.advance(40)  # its lease is over
    async with run_app(on_event=receiver) as app:
        await until_empty(app.state.services.database)
    assert receiver.kinds("alice") == ["SIGNED_IN"]


async def test_metrics_count_events_delivered_waiting_failed_and_given_up(
    make_settings: Callable[..., Settings], receiver: Receiver, clock: Clock
) -> None:
    registry = CollectorRegistry()
    mfa = GraphQLMFA(make_settings(), clock=clock, on_event=receiver, metrics=registry)
    receiver.down_for.add("bob")

    def scrape() -> Scrape:
        from prometheus_client import generate_latest

        return Scrape(generate_latest(registry).decode())

    async with mfa.lifespan():
        for name in ("alice", "bob"):
            await record(mfa.services, name, SecurityEventKind.SIGNED_IN)
        await until(lambda: scrape()("event_delivery_failures_total", sink="hook") == 1)
        await until(lambda: scrape()("events_waiting", sink="hook") == 1)
        assert scrape()("events_delivered_total", sink="hook") == 1
        clock.advance(3 * 86_400)
        await until(lambda: scrape()("events_dead_total", sink="hook") == 1)
        await until(lambda: scrape()("events_waiting", sink="hook") == 0)


async def test_the_delivered_events_are_the_stored_ones(run_app: RunApp, connect: Connect, receiver: Receiver) -> None:
    async with run_app(on_event=receiver) as app:
        await connect(app).member()
        await until_empty(app.state.services.database)
        remembered = await app.state.services.database.read(
            lambda connection: list(connection.scalars(select(StoredEvent.id).order_by(StoredEvent.id)))
        )
    assert sorted(event.id for event in receiver.received) == remembered
