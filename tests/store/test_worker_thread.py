"""The thread that writes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from graphql_mfa.store.worker_thread import Job, WorkerThread

Work = Callable[[], Any]

MOST_AT_ONCE = 3


class Worker(WorkerThread[Work]):
    """Calls what it gets. batches: how many it got at once."""

    def __init__(self) -> None:
        super().__init__("worker", self._call, MOST_AT_ONCE)
        self.batches: list[int] = []

    def _call(self, jobs: Sequence[Job[Work]]) -> None:
        self.batches.append(len(jobs))
        for job in jobs:
            if not job.cancelled:
                job.succeed(job.work())


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    yield worker
    await worker.close()


class Busy:
    """Keeps the worker until it may go on."""

    def __init__(self, worker: Worker) -> None:
        self._began, self._may_go_on = asyncio.Event(), threading.Event()
        self._loop = asyncio.get_running_loop()
        self.answer = worker.submit(self._work)

    async def began(self) -> None:
        await self._began.wait()

    def end(self) -> None:
        self._may_go_on.set()

    def _work(self) -> None:
        self._loop.call_soon_threadsafe(self._began.set)
        self._may_go_on.wait()


async def test_jobs_are_done_in_their_order_in_a_thread_of_its_own(worker: Worker) -> None:
    done: list[tuple[int, int]] = []

    def work(number: int) -> Work:
        return lambda: done.append((number, threading.get_ident()))

    await asyncio.gather(*(worker.submit(work(number)) for number in range(50)))
    assert [number for number, _ in done] == list(range(50))
    assert {thread for _, thread in done} == {done[0][1]} != {threading.get_ident()}


async def test_what_waits_is_done_together_up_to_a_number(worker: Worker) -> None:
    busy = Busy(worker)
    await busy.began()
    waiting = [worker.submit(lambda: None) for _ in range(MOST_AT_ONCE + 2)]
    busy.end()
    await asyncio.gather(*waiting)
    assert worker.batches == [1, MOST_AT_ONCE, 2]


async def test_whoever_waits_is_told_what_the_worker_raised(worker: Worker) -> None:
    busy = Busy(worker)
    await busy.began()
    waiting = [worker.submit(work) for work in (lambda: 42, lambda: 1 // 0)]
    busy.end()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in told] == [ZeroDivisionError] * 2
    assert await worker.submit(lambda: 43) == 43


async def test_a_job_can_see_whether_it_was_cancelled_before_its_turn(worker: Worker) -> None:
    busy = Busy(worker)
    await busy.began()
    done: list[str] = []
    second = worker.submit(lambda: done.append("second"))
    third = worker.submit(lambda: done.append("third"))
    second.cancel()
    busy.end()
    await third
    assert done == ["third"]
    assert second.cancelled()


async def test_a_job_that_is_cancelled_under_way_is_no_error(worker: Worker) -> None:
    busy = Busy(worker)
    await busy.began()
    busy.answer.cancel()
    busy.end()
    assert await worker.submit(lambda: 42) == 42


async def test_closing_waits_for_what_was_begun() -> None:
    worker = Worker()
    busy = Busy(worker)
    await busy.began()
    waiting = [worker.submit(lambda: 42) for _ in range(2)]
    closing = asyncio.create_task(worker.close())
    await asyncio.sleep(0)
    busy.end()
    await closing
    assert await asyncio.gather(*waiting) == [42, 42]
