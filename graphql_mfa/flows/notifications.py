"""Telling others of security events: from the outbox, at least once, in order for each account."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial

from graphql_mfa.core.security_events import SecurityEvent, SecurityEventKind
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, outbox
from graphql_mfa.store.outbox import Message

_log = logging.getLogger("graphql_mfa")

OnEvent = Callable[[SecurityEvent], Awaitable[None]]
"""Tells one receiver of one event. Whatever it raises, or takes too long, the event is not delivered."""

PLACES = 8
"""Deliveries of one sink that a process has under way at once."""

# Of the Standard Webhooks specification; then the last of them, until the time is over.
_PAUSES = [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)]
_PAUSES += [timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)]
_LOOK_SECONDS = 5  # how often to look for what other processes wrote, and what is due again
_LEASE_SLACK = timedelta(seconds=30)  # beyond the longest delivery
_STOP_SECONDS = 5  # for deliveries under way; what is not done by then is done again once its lease is over
_COUNTED = 1000


class DeliveryError(Exception):
    """Why an event was not delivered, in words that may be logged."""


class Notifier:
    """Delivers to each sink by itself: one that is slow or down keeps nothing from another."""

    def __init__(self, sinks: Mapping[str, OnEvent]) -> None:
        """sinks: who is told, by the names under which the outbox knows them."""
        self.sinks = sinks
        self._woken = {sink: asyncio.Event() for sink in sinks}

    def wake(self) -> None:
        """There is something new in the outbox."""
        for woken in self._woken.values():
            woken.set()

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        """Deliver, until it is left."""
        queues = [_Queue(services, sink, tell, self._woken[sink]) for sink, tell in self.sinks.items()]
        tasks = [asyncio.create_task(queue.run()) for queue in queues]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(queue.stop() for queue in queues))


class _Queue:
    """What one sink is to be told."""

    def __init__(self, services: Services, sink: str, tell: OnEvent, woken: asyncio.Event) -> None:
        self._services, self._sink, self._tell, self._woken = services, sink, tell, woken
        self._seconds = services.settings.event_delivery_seconds
        self._deliveries: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            try:
                for message in await self._claim(PLACES - len(self._deliveries)):
                    delivery = asyncio.create_task(self._deliver(message))
                    self._deliveries.add(delivery)
                    delivery.add_done_callback(self._leave)
            except Exception as error:  # noqa: BLE001 - a lost database must not end it for good
                _log.warning("Looking for events to deliver failed, will try again: %s", type(error).__name__)
            with suppress(TimeoutError):
                # Spread, so that replicas that started together don't look together.
                async with asyncio.timeout(_LOOK_SECONDS * random.uniform(0.5, 1.5)):  # noqa: S311 - no secret
                    await self._woken.wait()

    async def stop(self) -> None:
        if self._deliveries:
            _, late = await asyncio.wait(self._deliveries, timeout=_STOP_SECONDS)
            for delivery in late:
                delivery.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _leave(self, delivery: asyncio.Task[None]) -> None:
        self._deliveries.discard(delivery)
        self._woken.set()

    async def _claim(self, places: int) -> list[Message]:
        database = self._services.database
        waiting = await database.read(partial(outbox.count_open, sink=self._sink, most=_COUNTED))
        self._services.observer.events_waiting(self._sink, waiting)
        if not waiting or not places:
            return []
        # Most looks find nothing, and need no lock for that.
        now = self._services.clock()
        numbers = await database.read(partial(outbox.due, sink=self._sink, now=now, rows=places))
        if not numbers:
            return []
        lease_ends_at = now + timedelta(seconds=self._seconds) + _LEASE_SLACK
        return await database.write(partial(outbox.claim, numbers=numbers, now=now, lease_ends_at=lease_ends_at))

    async def _deliver(self, message: Message) -> None:
        fault = await self._fault(message)
        try:
            await self._services.database.write(self._result_of(message, fault))
        except Exception as error:  # noqa: BLE001 - the lease ends, and it is tried again
            _log.warning("An event's delivery could not be noted, it will be repeated: %s", type(error).__name__)

    def _result_of(self, message: Message, fault: str | None) -> Callable[[Connection], None]:
        """The transaction that stores how the delivery went."""
        observer, now = self._services.observer, self._services.clock()
        if fault is None:
            observer.event_delivered(self._sink)
            return partial(outbox.delivered, message=message, now=now)
        observer.event_delivery_failed(self._sink)
        ends_at = message.since + timedelta(days=self._services.settings.event_delivery_days)
        if now >= ends_at:
            observer.event_given_up(self._sink)
            _log.error("An event is given up by %s after %s tries: %s", self._sink, message.attempts, fault)
            return partial(outbox.give_up, message=message, now=now)
        pause = _PAUSES[min(message.attempts, len(_PAUSES)) - 1] * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        _log.warning("An event is not delivered by %s, try %s: %s", self._sink, message.attempts, fault)
        return partial(outbox.postpone, message=message, next_at=min(now + pause, ends_at))

    async def _fault(self, message: Message) -> str | None:
        """What kept it from being delivered."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._tell(_event_of(message))
        except DeliveryError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - its message may hold anything
            return type(error).__name__
        return None


def _event_of(message: Message) -> SecurityEvent:
    return SecurityEvent(
        id=message.event_id,
        kind=SecurityEventKind[message.kind],
        at=message.at,
        user_id=message.user_id,
        username=message.username,
        ip_address=message.ip_address,
        user_agent=message.user_agent,
    )
