"""The thread pool for what keeps a core busy: password hashing and judging."""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import ParamSpec, TypeVar

from graphql_mfa.core.password_hashing import PasswordHasher
from graphql_mfa.observer import NOBODY, Observer

P = ParamSpec("P")
T = TypeVar("T")

_NICENESS = 10
_THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class HashingPool:
    """A thread for each core that it may use, at a lower priority than the event loop, and bounded places before them.

    places: how many use cases may wait for it or be in it at once; half of them for one address, so that nobody can
    take them all.
    """

    def __init__(self, hasher: PasswordHasher, places: int, observer: Observer = NOBODY) -> None:
        self.hasher = hasher
        self._observer = observer
        self._places = places
        self._taken: Counter[str] = Counter()
        self._seconds_per_job = 0.0
        self._threads = ThreadPoolExecutor(_THREADS, "hashing", initializer=_lower_priority)

    @contextmanager
    def place(self, address: str) -> Iterator[timedelta | None]:
        """Take a place for as long as the context lasts, or be told how long the places taken now will need."""
        if self._taken.total() >= self._places or self._taken[address] >= max(1, self._places // 2):
            self._observer.hashing_place_refused()
            yield timedelta(seconds=self._taken.total() / _THREADS * self._seconds_per_job)
            return
        self._taken[address] += 1
        self._observer.hashing_place_taken()
        try:
            yield None
        finally:
            self._observer.hashing_place_left()
            self._taken[address] -= 1
            self._taken += Counter()  # forgets the addresses that have none

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run CPU-bound work beside the event loop."""

        def timed() -> T:
            self._observer.hashing_began()
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - began
                # The latest jobs count most: the load of the machine changes.
                self._seconds_per_job += (seconds - self._seconds_per_job) / 4
                self._observer.hashing_ended(seconds)

        return await asyncio.get_running_loop().run_in_executor(self._threads, timed)

    def close(self) -> None:
        """Finish what was begun and let the threads end."""
        self._threads.shutdown()


def _lower_priority() -> None:
    # Linux schedules threads one by one; elsewhere the pool runs at normal priority.
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
