"""Attack: by accounts that make events all the time, keep the events of others from being delivered."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from uuid import UUID

from fastapi import FastAPI

from graphql_mfa import SecurityEvent
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows import notifications
from graphql_mfa.services import OPERATOR, Services
from tests.clock import WAIT, Clock
from tests.store import rows

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

BUSY = [f"busy {number}" for number in range(notifications.MAX_DELIVERIES)]


async def test_a_quiet_account_waits_for_one_event_of_each_busy_one(run_app: RunApp, clock: Clock) -> None:
    """However many events they have, and however fast they make new ones."""
    delivered: list[str | None] = []
    all_busy, go_on, quiet_told = asyncio.Event(), asyncio.Event(), asyncio.Event()
    apps: list[FastAPI] = []

    async def record(services: Services, user: UUID, count: int) -> None:
        for _ in range(count):
            clock.advance(0.001)
            await services.write(
                OPERATOR, lambda transaction: transaction.record(user, SecurityEventKind.SIGN_IN_FAILED)
            )

    async def on_event(event: SecurityEvent) -> None:
        delivered.append(event.username)
        clock.advance(0.001)
        if len(delivered) == len(BUSY):
            all_busy.set()
        await go_on.wait()
        if event.username == "quiet":
            quiet_told.set()
        elif not quiet_told.is_set():
            await record(apps[0].state.services, event.user_id, 1)

    async with run_app(on_event=on_event) as app:
        apps.append(app)
        services = app.state.services
        for name in BUSY:
            user = await services.database.write(partial(rows.add_user, username=name))
            await record(services, user, 5)
        await asyncio.wait_for(all_busy.wait(), WAIT)
        quiet = await services.database.write(partial(rows.add_user, username="quiet"))
        await record(services, quiet, 1)
        go_on.set()
        await asyncio.wait_for(quiet_told.wait(), WAIT)

    # Those under way, and at most one more of each.
    assert delivered.index("quiet") <= 2 * len(BUSY)
