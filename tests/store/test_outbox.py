"""The outbox: which process may deliver which message, and when."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, func, select

from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.store import outbox
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import OutboxRow
from graphql_mfa.store.outbox import Message
from graphql_mfa.store.security_events import StoredEvent
from tests.conftest import on_each_engine, sqlite_only
from tests.store import rows
from tests.store.rows import NOW

pytestmark = on_each_engine

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=40)


async def claim(database: Database, *, at: timedelta = SECOND * 0, sink: str = "hook") -> list[Message]:
    """The messages that a process claims by a poll at that time."""
    now = NOW + at
    due = await database.read(partial(outbox.due, sink=sink, now=now, rows=20))
    return await database.write(partial(outbox.claim, sink=sink, numbers=due, now=now, lease_ends_at=now + LEASE))


async def add(database: Database, user_id: UUID, count: int = 1, sinks: Sequence[str] = ("hook",)) -> list[UUID]:
    """Events as an operation records them; returns their ids."""
    events = [StoredEvent(uuid4(), SecurityEventKind.SIGNED_IN, NOW, "10.0.0.1", "curl") for _ in range(count)]
    await database.write(partial(outbox.add, user_id=user_id, sinks=sinks, events=events))
    return [event.id for event in events]


async def claimed(database: Database) -> Message:
    """The only message that is due."""
    (message,) = await claim(database)
    return message


async def size(database: Database) -> int:
    return await database.read(lambda connection: connection.scalar(select(func.count(OutboxRow.number)))) or 0


async def test_a_message_has_the_event_and_the_name_of_its_account(database: Database) -> None:
    user = await database.write(rows.add_user)
    (event,) = await add(database, user)
    message = await claimed(database)
    assert (message.event_id, message.user_id, message.username) == (event, user, "alice")
    assert (message.kind, message.at, message.ip_address, message.user_agent) == ("SIGNED_IN", NOW, "10.0.0.1", "curl")


async def test_each_sink_has_its_own_messages(database: Database) -> None:
    event = await add(database, uuid4(), sinks=("hook", "webhook"))
    for sink in ("hook", "webhook"):
        assert [message.event_id for message in await claim(database, sink=sink)] == event


async def test_only_the_first_message_of_an_account_is_due_and_the_next_after_its_delivery(database: Database) -> None:
    user = uuid4()
    events = await add(database, user, count=2)
    events += await add(database, user)
    delivered = []
    for _ in events:
        message = await claimed(database)
        assert await claim(database) == []
        delivered.append(message.event_id)
        await database.write(partial(outbox.delivered, message=message, now=NOW))
    assert delivered == events
    assert await size(database) == 0


@pytest.mark.parametrize(
    "close",
    [outbox.delivered, partial(outbox.failed, error="TimeoutError", next_at=None)],
    ids=["delivered", "given up"],
)
async def test_accounts_take_turns(database: Database, close: Callable[..., None]) -> None:
    busy, quiet = uuid4(), uuid4()
    await add(database, busy, count=2)
    message = await claimed(database)
    (event,) = await add(database, quiet)
    await database.write(partial(close, message=message, now=NOW + SECOND))

    numbers = await database.read(partial(outbox.due, sink="hook", now=NOW + SECOND, rows=2))
    take = partial(outbox.claim, sink="hook", now=NOW + SECOND, lease_ends_at=NOW + LEASE)
    first, second = [(await database.write(partial(take, numbers=[number])))[0] for number in numbers]
    assert first.event_id == event
    assert second.user_id == busy


async def test_a_message_that_is_added_while_the_one_before_it_is_delivered_becomes_due(
    database: Database, other_process: Database
) -> None:
    for _ in range(20):
        user = uuid4()
        await add(database, user)
        message = await claimed(database)
        await asyncio.gather(
            add(database, user), other_process.write(partial(outbox.delivered, message=message, now=NOW))
        )
        following = await claimed(database)
        await database.write(partial(outbox.delivered, message=following, now=NOW))


async def test_two_processes_that_poll_at_once_never_claim_the_same_message(
    database: Database, other_process: Database
) -> None:
    for _ in range(20):
        await add(database, uuid4())
    numbers = await database.read(partial(outbox.due, sink="hook", now=NOW, rows=20))
    take = partial(outbox.claim, sink="hook", numbers=numbers, now=NOW, lease_ends_at=NOW + LEASE)
    one, other = await asyncio.gather(database.write(take), other_process.write(take))
    assert sorted(message.number for message in one + other) == sorted(numbers)


async def test_the_message_of_a_dead_process_is_claimed_again_after_its_lease(
    database: Database, other_process: Database
) -> None:
    user = uuid4()
    await add(database, user, count=2)
    late = await claimed(database)
    assert await claim(other_process, at=LEASE - SECOND) == []
    (taken,) = await claim(other_process, at=LEASE)
    assert (taken.number, taken.attempts) == (late.number, 2)

    # The first was not dead, but slow: it changes nothing any more.
    await database.write(partial(outbox.delivered, message=late, now=NOW))
    await database.write(partial(outbox.failed, message=late, error="TimeoutError", now=NOW, next_at=None))
    await database.write(partial(outbox.failed, message=late, error="TimeoutError", now=NOW, next_at=NOW))
    assert await claim(database, at=LEASE) == []
    assert await size(database) == 2


async def test_a_postponed_message_delays_its_account_and_no_other(database: Database) -> None:
    user, other = uuid4(), uuid4()
    first, _ = await add(database, user, count=2)
    await database.write(
        partial(outbox.failed, message=await claimed(database), error="TimeoutError", now=NOW, next_at=NOW + 5 * SECOND)
    )
    await add(database, user)
    (free,) = await add(database, other)
    assert [message.event_id for message in await claim(database)] == [free]
    assert await claim(database, at=4 * SECOND) == []
    assert [message.event_id for message in await claim(database, at=5 * SECOND)] == [first]


async def test_a_dead_message_delays_nothing_and_can_be_revived(database: Database) -> None:
    user = uuid4()
    first, second = await add(database, user, count=2)
    await database.write(
        partial(outbox.failed, message=await claimed(database), error="TimeoutError", now=NOW, next_at=None)
    )
    assert (await claimed(database)).event_id == second
    (state,) = await database.read(outbox.counts)
    assert (state.sink, state.waiting, state.dead, state.oldest) == ("hook", 1, 1, NOW)

    later = NOW + timedelta(days=10)
    assert await database.write(partial(outbox.revive, now=later, rows=10)) == 1
    (again,) = await claim(database, at=timedelta(days=10))
    assert (again.event_id, again.attempts, again.since) == (first, 1, later)


async def test_the_last_error_of_each_message_is_counted_for_its_sink(database: Database) -> None:
    for errors in (["ConnectError", "status 503"], ["status 503"], []):
        await add(database, uuid4(), sinks=("hook", "webhook"))
        message = await claimed(database)
        for error in errors:
            await database.write(
                partial(outbox.failed, message=message, error=error, now=NOW, next_at=NOW + 90 * SECOND)
            )
    hook, webhook = await database.read(outbox.counts)
    assert (hook.waiting, hook.errors) == (3, {"status 503": 2})
    assert (webhook.waiting, webhook.errors) == (3, {})


async def test_a_message_in_delivery_is_not_claimed_when_a_revived_earlier_one_is_delivered(
    database: Database, other_process: Database
) -> None:
    await add(database, uuid4(), count=2)
    await database.write(
        partial(outbox.failed, message=await claimed(database), error="TimeoutError", now=NOW, next_at=None)
    )
    under_way = await claimed(database)
    await other_process.write(partial(outbox.revive, now=NOW, rows=10))
    (first,) = await claim(other_process)
    await other_process.write(partial(outbox.delivered, message=first, now=NOW))
    assert await claim(other_process) == []
    await database.write(partial(outbox.delivered, message=under_way, now=NOW))
    assert await size(database) == 0


async def test_reviving_is_limited_to_a_batch(database: Database) -> None:
    def fill(connection: Connection) -> None:
        for _ in range(3):
            rows.add_message(connection, due_at=None)

    await database.write(fill)
    revive = partial(outbox.revive, now=NOW, rows=2)
    assert [await database.write(revive) for _ in range(3)] == [2, 1, 0]


async def test_open_messages_are_counted_up_to_a_bound(database: Database) -> None:
    await add(database, uuid4(), count=3)
    await database.write(partial(rows.add_message, due_at=None))
    counted = [await database.read(partial(outbox.count_open, sink="hook", most=most)) for most in (2, 10)]
    assert counted == [2, 3]


@sqlite_only
async def test_a_reused_number_neither_changes_the_order_nor_loses_a_message(
    database: Database, other_process: Database
) -> None:
    """SQLite gives the numbers of deleted rows to later ones."""
    await add(database, uuid4())
    await add(database, uuid4())
    numbers = await database.read(partial(outbox.due, sink="hook", now=NOW, rows=20))
    late, finished = await claim(other_process)
    for message in (late, finished):
        await other_process.write(partial(outbox.delivered, message=message, now=NOW))

    first, second = await add(database, uuid4(), count=2)
    taken = await database.write(
        partial(outbox.claim, sink="hook", numbers=numbers, now=NOW, lease_ends_at=NOW + LEASE)
    )
    assert [message.event_id for message in taken] == [first]
    assert taken[0].number in numbers

    for message in (late, finished):
        await other_process.write(partial(outbox.delivered, message=message, now=NOW))
    assert await size(database) == 2
    await database.write(partial(outbox.delivered, message=taken[0], now=NOW))
    assert [message.event_id for message in await claim(database)] == [second]
