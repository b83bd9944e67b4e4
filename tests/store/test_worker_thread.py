"""The thread that writes."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest

from graphql_mfa.store.worker_thread import WorkerThread


@pytest.fixture
async def worker() -> AsyncIterator[WorkerThread]:
    worker = WorkerThread("worker")
    yield worker
    await worker.close()


async def test_jobs_are_done_one_after_the_other_in_a_thread_of_their_own(worker: WorkerThread) -> None:
    done: list[tuple[int, int]] = []

    def job(number: int, _: object) -> None:
        done.append((number, threading.get_ident()))

    await asyncio.gather(*(worker.run(partial(job, number)) for number in range(50)))
    assert [number for number, _ in done] == list(range(50))
    assert {thread for _, thread in done} == {done[0][1]} != {threading.get_ident()}


async def test_whoever_waits_for_a_job_is_told_what_it_gave_or_raised(worker: WorkerThread) -> None:
    assert await worker.run(lambda _: 42) == 42
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda _: 1 // 0)
    assert await worker.run(lambda _: 43) == 43


async def test_a_job_that_is_cancelled_before_its_turn_is_not_done(worker: WorkerThread) -> None:
    may_go_on = threading.Event()
    first = worker.run(lambda _: may_go_on.wait())
    done: list[str] = []
    second = worker.run(lambda _: done.append("second"))
    third = worker.run(lambda _: done.append("third"))
    second.cancel()
    may_go_on.set()
    assert await first
    await third
    assert done == ["third"]
    assert second.cancelled()


async def test_a_job_that_is_cancelled_under_way_can_see_it(worker: WorkerThread) -> None:
    began, may_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    seen: list[bool] = []

    def job(answer: "asyncio.Future[None]") -> None:
        loop.call_soon_threadsafe(began.set)
        may_go_on.wait()
        seen.append(answer.cancelled())

    answer = worker.run(job)
    await began.wait()
    answer.cancel()
    may_go_on.set()
    await worker.run(lambda _: None)
    assert seen == [True]


async def test_closing_waits_for_what_was_begun() -> None:
    worker = WorkerThread("worker")
    done: list[int] = []

    def job(number: int, _: object) -> None:
        done.append(number)

    jobs = [worker.run(partial(job, number)) for number in range(5)]
    await worker.close()
    assert done == list(range(5))
    await asyncio.gather(*jobs)
