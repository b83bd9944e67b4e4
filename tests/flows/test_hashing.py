"""The pool for what keeps a core busy."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from types import SimpleNamespace

import pytest

from graphql_mfa.core.password_hashing import PasswordHasher
from graphql_mfa.flows import hashing
from graphql_mfa.flows.hashing import HashingPool
from tests.conftest import on_each_engine

pytestmark = on_each_engine

WAIT = 10  # seconds, for what takes no time unless it is broken


@pytest.fixture
def pool() -> Iterator[HashingPool]:
    pool = HashingPool(PasswordHasher(4), places=8)
    yield pool
    pool.close()


async def test_the_event_loop_goes_on_while_the_pool_works(pool: HashingPool) -> None:
    go_on = threading.Event()
    work = asyncio.create_task(pool.run(go_on.wait, timeout=WAIT))
    await asyncio.sleep(0)
    go_on.set()
    assert await work


async def test_as_many_jobs_run_at_once_as_there_are_cores(pool: HashingPool) -> None:
    together = threading.Barrier(os.cpu_count() or 1, timeout=WAIT)
    places = await asyncio.gather(*(pool.run(together.wait) for _ in range(together.parties)))
    assert sorted(places) == list(range(together.parties))
    names = await asyncio.gather(*(pool.run(lambda: threading.current_thread().name) for _ in range(20)))
    assert len(set(names)) <= together.parties


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux schedules threads one by one")
async def test_the_pool_yields_to_the_event_loop(pool: HashingPool) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await pool.run(niceness) > niceness()


async def test_an_error_in_the_pool_is_the_callers(pool: HashingPool) -> None:
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 / 0)


async def test_closing_finishes_what_was_begun_and_takes_nothing_new(pool: HashingPool) -> None:
    begun = [asyncio.create_task(pool.run(time.monotonic)) for _ in range(10)]
    await asyncio.sleep(0)
    pool.close()
    closed_at = time.monotonic()
    assert all(finished_at <= closed_at for finished_at in await asyncio.gather(*begun))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hashing")]
    with pytest.raises(RuntimeError):
        await pool.run(time.monotonic)


def is_refused(pool: HashingPool, address: str) -> bool:
    with pool.place(address) as wait:
        return wait is not None


async def test_half_of_the_places_are_for_one_address_and_all_of_them_for_several(pool: HashingPool) -> None:
    with ExitStack() as taken:
        for address in ("10.0.0.1", "10.0.0.2"):
            assert [taken.enter_context(pool.place(address)) for _ in range(4)] == [None] * 4
            assert is_refused(pool, address)
        assert is_refused(pool, "10.0.0.3")
    assert not is_refused(pool, "10.0.0.1")


def test_the_only_place_is_one_that_an_address_can_take() -> None:
    pool = HashingPool(PasswordHasher(4), places=1)
    with pool.place("10.0.0.1") as wait:
        assert wait is None
        assert is_refused(pool, "10.0.0.2")
    pool.close()


async def test_whoever_finds_no_place_is_told_to_wait_for_as_many_jobs_as_are_before_them(
    pool: HashingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([100.0, 104.0, 200.0, 209.0])  # when each of two jobs began and ended
    monkeypatch.setattr(hashing, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    for _ in range(2):
        await pool.run(int)
    with ExitStack() as taken:
        for number in range(8):
            taken.enter_context(pool.place(f"10.0.0.{number}"))
        with pool.place("10.0.0.9") as wait:
            # The first job is a quarter of the average, and then the second one is.
            assert wait == 8 / (os.cpu_count() or 1) * timedelta(seconds=4 / 4 * 3 / 4 + 9 / 4)


async def test_a_refused_visit_takes_no_place_away(pool: HashingPool) -> None:
    with ExitStack() as taken:
        for _ in range(4):
            taken.enter_context(pool.place("10.0.0.1"))
        for _ in range(10):
            assert is_refused(pool, "10.0.0.1")
        assert not is_refused(pool, "10.0.0.2")


async def test_a_place_comes_back_after_success_failure_and_cancellation(pool: HashingPool) -> None:
    begun = asyncio.Event()

    async def succeed() -> None:
        begun.set()

    async def fail() -> None:
        begun.set()
        raise ZeroDivisionError

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def visit(work: Callable[[], Awaitable[None]]) -> None:
        with pool.place("10.0.0.1") as wait:
            assert wait is None
            await work()

    for _ in range(10):  # more often than there are places
        for work, outcome in ((succeed, None), (fail, ZeroDivisionError), (hang, asyncio.CancelledError)):
            begun.clear()
            task = asyncio.create_task(visit(work))
            await begun.wait()
            if work is hang:
                task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            assert ended is outcome if outcome is None else isinstance(ended, outcome)


async def test_a_job_that_was_given_up_before_its_turn_never_runs(pool: HashingPool) -> None:
    ran: list[int] = []
    go_on = threading.Event()
    busy = [asyncio.create_task(pool.run(go_on.wait, WAIT)) for _ in range(os.cpu_count() or 1)]
    given_up = asyncio.create_task(pool.run(ran.append, 1))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    go_on.set()
    await asyncio.gather(*busy, pool.run(ran.append, 2))
    assert given_up.cancelled()
    assert ran == [2]


async def test_an_address_that_left_is_forgotten(pool: HashingPool) -> None:
    for number in range(1000):
        is_refused(pool, f"10.0.{number // 256}.{number % 256}")
    with pool.place("10.0.0.1"), pool.place("10.0.0.1"):
        assert dict(pool._taken) == {"10.0.0.1": 2}
    assert dict(pool._taken) == {}
