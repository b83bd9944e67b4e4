"""A thread that does what event loops hand it, in the order in which it came; what waits already is done together."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

W = TypeVar("W")


class Job(Generic[W]):
    """Some work, and what whoever waits for it is to be told."""

    def __init__(self, work: W) -> None:
        self.work = work
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._settle: Callable[[], None] | None = None

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.answer.cancelled()

    def succeed(self, result: object) -> None:
        """The work is done."""
        self._settle = partial(self.answer.set_result, result)

    def fail(self, error: BaseException) -> None:
        """The work is not done, whatever was said of it before."""
        self._settle = partial(self.answer.set_exception, error)

    def tell(self) -> None:
        """Let it be known, in the loop that waits."""
        # A loop that is closed has nobody who waits.
        with suppress(RuntimeError):
            self.answer.get_loop().call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._settle and not self.cancelled:
            self._settle()


class WorkerThread(Generic[W]):
    """An executor of one thread, at half of its cost: the loop's own futures, and none between threads."""

    def __init__(self, name: str, do: Callable[[Sequence[Job[W]]], None], most_at_once: int) -> None:
        """do: does some jobs, and says of each what became of it unless it was cancelled. If it raises, all failed."""
        self._do = do
        self._most_at_once = most_at_once
        self._jobs: SimpleQueue[Job[W] | None] = SimpleQueue()
        # A process that ends without `close` does not wait for it.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: W) -> asyncio.Future[Any]:
        """Have it done when its turn comes; whether the future is cancelled by then is for `do` to see."""
        job = Job(work)
        self._jobs.put(job)
        return job.answer

    async def close(self) -> None:
        """Finish what was begun, and end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while jobs := self._next():
            try:
                self._do(jobs)
            except BaseException as error:  # noqa: BLE001 - whoever waits for them is told
                for job in jobs:
                    job.fail(error)
            for job in jobs:
                job.tell()
            # What a transaction holds is not kept until the next one comes.
            del jobs, job

    def _next(self) -> list[Job[W]]:
        """What waits, once there is something; nothing at the end."""
        jobs = []
        while job := self._jobs.get():
            jobs.append(job)
            if len(jobs) == self._most_at_once or self._jobs.empty():
                return jobs
        self._jobs.put(None)
        return jobs
