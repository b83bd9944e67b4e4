"""The thread pool for password hashing and scoring, and its fair queue."""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import ParamSpec, TypeVar

from graphql_mfa.core.addresses import networks
from graphql_mfa.core.passwords import PasswordHasher
from graphql_mfa.metrics import NO_METRICS, Metrics

P = ParamSpec("P")
T = TypeVar("T")

_NICENESS = 10  # relative to the event loop's thread
_NICEST = 19
_THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# One more than there are threads, since a use case also waits for the store.
_RUNNING = _THREADS + 1
# A login counts as a failure until it succeeds. Colleagues behind one address who sign in at the same time, through
# several workers, must not reach its limit of failures.
_RUNNING_FOR_ONE_ADDRESS = 4


class Slot:
    """The slot of one use case, which waits for its turn, runs, or is paused. address: the client's address group."""

    def __init__(self, address: str) -> None:
        self.networks = networks(address)
        self.turn: asyncio.Future[timedelta | None] = asyncio.get_running_loop().create_future()
        self.had_turn = False


class HashingPool:
    """One low-priority thread for each core, and a bounded queue that is fair by address.

    A use case takes a slot before it counts anything, and waits in it for its turn. One more use case runs at once than
    there are threads. The next turn goes to the address that has waited longest; for IPv6, to the /48 first, then to
    the /56 in it, then to the /64.

    slots: the number of use cases that may wait or run at once. When all are taken, a newcomer displaces the last use
    case in the queue of the address with the most slots, unless its own address would then have as many.
    """

    def __init__(self, hasher: PasswordHasher, slots: int, metrics: Metrics = NO_METRICS) -> None:
        self.hasher = hasher
        self._metrics = metrics
        self._slots = slots
        self._taken: list[Slot] = []
        self._waiting: list[Slot] = []
        self._running: list[Slot] = []
        self._turns = 0
        # For each network with a slot: the number of its last turn, initially the number of all turns so far.
        self._last_turns: dict[str, int] = {}
        self._seconds_per_job = 0.0
        self._threads = ThreadPoolExecutor(_THREADS, "hashing", initializer=_lower_priority)

    @asynccontextmanager
    async def slot(self, address: str) -> AsyncIterator[Slot | timedelta]:
        """Take a slot, and enter the context when it is its turn.

        Yields the time to wait instead when no slot is free for this address, or another address displaced it.
        """
        slot = Slot(address)
        if len(self._taken) >= self._slots and not self._displace_for(slot):
            self._metrics.hashing_refused.inc()
            yield self._time_needed()
            return
        self._taken.append(slot)
        self._metrics.hashing_slots_taken.inc()
        try:
            displaced = await self._turn(slot)
            yield slot if displaced is None else displaced
        finally:
            self._release(slot)
            self._metrics.hashing_slots_taken.dec()

    @asynccontextmanager
    async def pause(self, slot: Slot) -> AsyncIterator[None]:
        """Release the turn during slow work that needs no thread, then wait for another turn.

        The slot stays taken, since a use case that had a turn is not displaced.
        """
        self._running.remove(slot)
        self._start_next()
        yield
        slot.turn = asyncio.get_running_loop().create_future()
        await self._turn(slot)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run CPU-bound work in a thread of the pool."""

        def timed() -> T:
            self._metrics.hashing_threads_busy.inc()
            started_at = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - started_at
                self._seconds_per_job += (seconds - self._seconds_per_job) / 4
                self._metrics.hashing_threads_busy.dec()
                self._metrics.hashing_seconds.observe(seconds)

        return await asyncio.get_running_loop().run_in_executor(self._threads, timed)

    def close(self) -> None:
        """Finish the jobs that were submitted and end the threads."""
        self._threads.shutdown()

    async def _turn(self, slot: Slot) -> timedelta | None:
        for network in slot.networks:
            self._last_turns.setdefault(network, self._turns)
        self._waiting.append(slot)
        self._start_next()
        return await slot.turn

    def _start_next(self) -> None:
        while len(self._running) < _RUNNING and (startable := [slot for slot in self._waiting if self._may_run(slot)]):
            slot = min(startable, key=lambda slot: [self._last_turns[network] for network in slot.networks])
            self._waiting.remove(slot)
            self._running.append(slot)
            self._turns += 1
            self._last_turns.update(dict.fromkeys(slot.networks, self._turns))
            slot.had_turn = True
            slot.turn.set_result(None)

    def _may_run(self, slot: Slot) -> bool:
        running = sum(other.networks == slot.networks for other in self._running)
        # The future of a cancelled request is done before its slot is released.
        return running < _RUNNING_FOR_ONE_ADDRESS and not slot.turn.done()

    def _displace_for(self, newcomer: Slot) -> bool:
        """Free a slot for the newcomer, if another address has at least two more than its own."""
        taken = Counter(network for slot in self._taken for network in slot.networks)
        # A use case that had a turn may have counted an attempt.
        displaceable = [slot for slot in reversed(self._waiting) if not (slot.had_turn or slot.turn.done())]
        if not displaceable:
            return False
        last = max(displaceable, key=lambda slot: [taken[network] for network in slot.networks])
        pairs = zip(last.networks, newcomer.networks, strict=False)
        if not next((taken[theirs] > taken[own] + 1 for theirs, own in pairs if theirs != own), False):
            return False
        self._taken.remove(last)
        self._waiting.remove(last)
        last.turn.set_result(self._time_needed())
        self._metrics.hashing_refused.inc()
        return True

    def _release(self, slot: Slot) -> None:
        for slots in (self._taken, self._waiting, self._running):
            if slot in slots:
                slots.remove(slot)
        present = {network for other in self._taken for network in other.networks}
        for network in slot.networks:
            if network not in present:
                self._last_turns.pop(network, None)
        self._start_next()

    def _time_needed(self) -> timedelta:
        return timedelta(seconds=len(self._taken) / _THREADS * self._seconds_per_job)


def _lower_priority() -> None:
    with suppress(AttributeError, OSError):  # only Linux has a priority for each thread
        own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(own + _NICENESS, _NICEST))
