"""Deliver security events from the outbox: at least once, in order for each account."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.security_events import SecurityEvent, SecurityEventKind
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, outbox
from graphql_mfa.store.database import Database
from graphql_mfa.store.outbox import Message, SinkState

_log = logging.getLogger("graphql_mfa")

OnEvent = Callable[[SecurityEvent], Awaitable[None]]
"""Delivers one event to one receiver. If it raises or takes too long, the delivery has failed and is repeated."""

DELIVERY_TIME = timedelta(days=3)
"""How long an event's delivery is tried."""
MAX_DELIVERIES = 8
"""Concurrent deliveries to one sink by one process."""
DELIVERY_SECONDS = 10
"""How long one delivery may take, name resolution included; GitHub waits as long for a webhook."""
BATCH_ROWS = 500
"""Rows that `retry` changes in one transaction."""

# The retry schedule of Standard Webhooks 1.0; the last pause repeats until the days are over.
_PAUSES = [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)]
_PAUSES += [timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)]
_POLL_SECONDS = 5  # for messages of other processes, and those that are due again
_LEASE_SLACK = timedelta(seconds=30)  # beyond the longest delivery
_STOP_SECONDS = 5  # for deliveries under way; one that is cancelled is repeated after its lease
_MAX_COUNT = 1000
_MAX_ERROR_LENGTH = 100


class DeliveryError(Exception):
    """A delivery failed. Its text is logged and stored, so it holds nothing that a receiver sent but a status."""


class Notifier:
    """Delivers events to each sink independently: a slow receiver does not delay another."""

    def __init__(self, sinks: Mapping[str, OnEvent]) -> None:
        """sinks: by the names that the outbox has for them."""
        self.sinks = sinks
        self._woken = {sink: asyncio.Event() for sink in sinks}

    def wake(self) -> None:
        """Poll the outbox now."""
        for woken in self._woken.values():
            woken.set()

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        """Deliver while the context lasts."""
        workers = [_Worker(services, sink, on_event, self._woken[sink]) for sink, on_event in self.sinks.items()]
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(worker.stop() for worker in workers))


class _Worker:
    """Polls the outbox for one sink, and delivers what is due."""

    def __init__(self, services: Services, sink: str, on_event: OnEvent, woken: asyncio.Event) -> None:
        self._services, self._sink, self._on_event, self._woken = services, sink, on_event, woken
        self._deliveries: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            try:
                for message in await self._claim(MAX_DELIVERIES - len(self._deliveries)):
                    delivery = asyncio.create_task(self._deliver(message))
                    self._deliveries.add(delivery)
                    delivery.add_done_callback(self._finished)
            except Exception as error:  # noqa: BLE001 - a lost database must not end it for good
                _log.warning("Polling the outbox failed, will try again: %s", type(error).__name__)
            with suppress(TimeoutError):
                # Random, so that replicas that started together don't poll together.
                async with asyncio.timeout(_POLL_SECONDS * random.uniform(0.5, 1.5)):  # noqa: S311 - no secret
                    await self._woken.wait()

    async def stop(self) -> None:
        if self._deliveries:
            _, late = await asyncio.wait(self._deliveries, timeout=_STOP_SECONDS)
            for delivery in late:
                delivery.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _finished(self, delivery: asyncio.Task[None]) -> None:
        self._deliveries.discard(delivery)
        self._woken.set()

    async def _claim(self, rows: int) -> list[Message]:
        now = self._services.clock()

        def poll(connection: Connection) -> tuple[int, list[int]]:
            waiting = outbox.count_open(connection, self._sink, _MAX_COUNT)
            return waiting, outbox.due(connection, self._sink, now, rows)

        # Most polls find nothing, so they take no write lock.
        waiting, numbers = await self._services.database.read(poll)
        self._services.metrics.events_waiting.labels(self._sink).set(waiting)
        if not numbers:
            return []
        lease_ends_at = now + timedelta(seconds=DELIVERY_SECONDS) + _LEASE_SLACK
        return await self._services.database.write(
            partial(outbox.claim, sink=self._sink, numbers=numbers, now=now, lease_ends_at=lease_ends_at)
        )

    async def _deliver(self, message: Message) -> None:
        error = await self._attempt(message)
        try:
            await self._services.database.write(self._result_of(message, error))
        except Exception as fault:  # noqa: BLE001 - the lease ends, and the delivery is repeated
            _log.warning("Storing a delivery's result failed, it will be repeated: %s", type(fault).__name__)

    def _result_of(self, message: Message, error: str | None) -> Callable[[Connection], None]:
        """The transaction that stores the result of a delivery."""
        metrics, now = self._services.metrics, self._services.clock()
        if error is None:
            metrics.events_delivered.labels(self._sink).inc()
            return partial(outbox.delivered, message=message, now=now)
        metrics.event_delivery_failures.labels(self._sink).inc()
        ends_at = message.since + DELIVERY_TIME
        if now >= ends_at:
            metrics.events_dead.labels(self._sink).inc()
            _log.error("Giving up on an event for %s after %s attempts: %s", self._sink, message.attempts, error)
            return partial(outbox.failed, message=message, error=error, now=now, next_at=None)
        pause = _PAUSES[min(message.attempts, len(_PAUSES)) - 1] * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        _log.warning("Delivering an event to %s failed, attempt %s: %s", self._sink, message.attempts, error)
        return partial(outbox.failed, message=message, error=error, now=now, next_at=min(now + pause, ends_at))

    async def _attempt(self, message: Message) -> str | None:
        """Deliver, and return the error: a DeliveryError's text, or the class of another exception."""
        try:
            event = SecurityEvent(
                id=message.event_id,
                kind=SecurityEventKind[message.kind],
                at=message.at,
                user_id=message.user_id,
                username=message.username,
                ip_address=message.ip_address,
                user_agent=message.user_agent,
                count=message.count,
                factor=FactorKind[message.factor] if message.factor else None,
            )
            async with asyncio.timeout(DELIVERY_SECONDS):
                await self._on_event(event)
        except DeliveryError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - of a host's function, or of the HTTP client
            return type(error).__name__[:_MAX_ERROR_LENGTH]
        return None


async def undelivered(database: Database) -> list[SinkState]:
    """The events that are not delivered, by receiver."""
    return await database.read(outbox.counts)


async def retry(database: Database, now: datetime) -> int:
    """Make every event that was given up due again, in small transactions; return how many there were."""
    total = 0
    while revived := await database.write(partial(outbox.revive, now=now, rows=BATCH_ROWS)):
        total += revived
    return total
