"""The thread pool for what keeps a core busy: password hashing and judging."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

from graphql_mfa.core.password_hashing import PasswordHasher

P = ParamSpec("P")
T = TypeVar("T")

_NICENESS = 10


class HashingPool:
    """As many threads as cores, at a lower priority than the event loop."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self.hasher = hasher
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "hashing", initializer=_lower_priority)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run CPU-bound work beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Finish what was begun and let the threads end."""
        self._threads.shutdown()


def _lower_priority() -> None:
    # Linux schedules threads one by one; elsewhere the pool runs at normal priority.
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
