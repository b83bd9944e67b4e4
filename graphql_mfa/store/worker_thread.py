"""A thread that does one job after the other for an event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class WorkerThread:
    """An executor of one thread, at half of its cost: the loop's own futures, and none between threads."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A process that ends without `close` does not wait for it.
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, job: Callable[[asyncio.Future[T]], T]) -> asyncio.Future[T]:
        """Do it when its turn comes, unless the future is cancelled by then. It gets that future, to look again."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def do() -> None:
            if answer.cancelled():
                return
            try:
                settle = partial(answer.set_result, job(answer))
            except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
                settle = partial(answer.set_exception, error)
            # A loop that is closed has nobody who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_unless_cancelled, answer, settle)

        self._jobs.put(do)
        return answer

    async def close(self) -> None:
        """Finish what was begun, and end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while do := self._jobs.get():
            do()
            # What a transaction holds is not kept until the next one comes.
            del do


def _unless_cancelled(answer: asyncio.Future[T], settle: Callable[[], None]) -> None:
    if not answer.cancelled():
        settle()
