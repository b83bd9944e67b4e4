"""The pool for what keeps a core busy."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from graphql_mfa.core.password_hashing import PasswordHasher
from graphql_mfa.flows.hashing import HashingPool

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
