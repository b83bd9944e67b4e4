"""The pool of hashing threads and its queue."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from types import SimpleNamespace

import pytest

from graphql_mfa import hashing
from graphql_mfa.core.passwords import PasswordHasher
from graphql_mfa.hashing import HashingPool, Slot
from tests.clock import WAIT
from tests.slots import THREADS, slots_taken

RUNNING = 2


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[HashingPool]:
    """Two use cases have their turn at once, on whatever machine."""
    monkeypatch.setattr(hashing, "_RUNNING", RUNNING)
    pool = HashingPool(PasswordHasher(4), slots=8)
    yield pool
    pool.close()


async def test_the_event_loop_runs_while_the_pool_hashes(pool: HashingPool) -> None:
    go_on = threading.Event()
    work = asyncio.create_task(pool.run(go_on.wait, timeout=WAIT))
    await asyncio.sleep(0)
    go_on.set()
    assert await work


async def test_as_many_jobs_run_at_once_as_there_are_cores(pool: HashingPool) -> None:
    together = threading.Barrier(THREADS, timeout=WAIT)
    places = await asyncio.gather(*(pool.run(together.wait) for _ in range(together.parties)))
    assert sorted(places) == list(range(together.parties))
    names = await asyncio.gather(*(pool.run(lambda: threading.current_thread().name) for _ in range(20)))
    assert len(set(names)) <= together.parties


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux schedules threads one by one")
async def test_the_pool_yields_to_the_event_loop(pool: HashingPool) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    # 19 is the lowest priority: a process that has it can yield no further.
    assert await pool.run(niceness) == min(niceness() + 10, 19)


async def test_an_error_in_the_pool_is_raised_to_the_caller(pool: HashingPool) -> None:
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 / 0)


async def test_closing_finishes_submitted_jobs_and_accepts_no_new_ones(pool: HashingPool) -> None:
    begun = [asyncio.create_task(pool.run(time.monotonic)) for _ in range(10)]
    await asyncio.sleep(0)
    pool.close()
    closed_at = time.monotonic()
    assert all(finished_at <= closed_at for finished_at in await asyncio.gather(*begun))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hashing")]
    with pytest.raises(RuntimeError):
        await pool.run(time.monotonic)


async def is_refused(pool: HashingPool, address: str) -> bool:
    async with pool.slot(address) as slot:
        return isinstance(slot, timedelta)


async def turns(pool: HashingPool, *addresses: str, before: Sequence[str] = ()) -> list[str]:
    """Whose turn it is, one after the other, when they come in this order and those before them have all turns."""
    order: list[str] = []

    async def wait_for_turn(address: str) -> None:
        async with pool.slot(address):
            order.append(address)

    async with slots_taken(pool, *(before or [f"192.0.2.{number}" for number in range(RUNNING)])):
        tasks = [asyncio.create_task(wait_for_turn(address)) for address in addresses]
        await asyncio.sleep(0)
        assert order == []
    await asyncio.gather(*tasks)
    return order


async def test_waiting_addresses_take_turns(pool: HashingPool) -> None:
    assert await turns(pool, *"aaabbc") == list("abcaba")


async def test_a_later_address_does_not_wait_for_the_queue_of_another(pool: HashingPool) -> None:
    assert await turns(pool, *"aaab", before="a" * RUNNING) == list("abaa")


async def test_ipv6_networks_take_turns_and_so_do_their_subnets(pool: HashingPool) -> None:
    noisy, its_neighbour, quiet = "2001:db8::/64", "2001:db8:0:1::/64", "2001:db8:1::/64"
    order = await turns(pool, noisy, noisy, noisy, its_neighbour, quiet)
    assert order == [noisy, quiet, its_neighbour, noisy, noisy]


async def test_one_address_has_four_turns_at_once(pool: HashingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_RUNNING", 6)
    over = asyncio.Event()
    began: list[str] = []

    async def use(address: str) -> None:
        async with pool.slot(address):
            began.append(address)
            await over.wait()

    tasks = [asyncio.create_task(use(address)) for address in "aaaaaab"]
    await asyncio.sleep(0)
    assert began == list("aaaab")
    over.set()
    await asyncio.gather(*tasks)
    assert began == list("aaaabaa")


async def test_one_address_may_take_all_free_slots(pool: HashingPool) -> None:
    async with slots_taken(pool, *"a" * 8):
        assert await is_refused(pool, "a")
    assert not await is_refused(pool, "a")


async def test_when_full_a_new_address_displaces_the_last_job_of_the_busiest_address(
    pool: HashingPool,
) -> None:
    outcomes: list[tuple[str, bool]] = []

    async def visit(name: str) -> None:
        async with pool.slot(name[0]) as slot:
            outcomes.append((name, isinstance(slot, Slot)))

    async with slots_taken(pool, *(f"192.0.2.{number}" for number in range(4))):
        crowd = [asyncio.create_task(visit(name)) for name in ("a1", "b1", "a2", "a3")]
        await asyncio.sleep(0)
        newcomers = [asyncio.create_task(visit(name)) for name in ("c1", "d1")]
        await asyncio.sleep(0)
        assert await is_refused(pool, "e")  # each of the others has one
    await asyncio.gather(*crowd, *newcomers)
    assert [name for name, has_turn in outcomes if not has_turn] == ["a3", "a2"]
    assert {name for name, has_turn in outcomes if has_turn} == {"a1", "b1", "c1", "d1"}


async def test_a_use_case_that_hashed_once_is_not_displaced_later(
    pool: HashingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_RUNNING", 1)
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def use_twice() -> bool:
        async with pool.slot("a") as slot:
            assert isinstance(slot, Slot)
            async with pool.pause(slot):
                paused.set()
                await go_on.wait()
            return True

    first = [asyncio.create_task(use_twice()) for _ in range(7)]
    await paused.wait()
    async with slots_taken(pool, "b"):  # which has the only turn, since they pause
        assert await is_refused(pool, "c")
        go_on.set()
        await asyncio.sleep(0)
        assert await is_refused(pool, "c")
    assert all(await asyncio.gather(*first))


async def test_a_pool_of_one_slot_accepts_one_job(pool: HashingPool) -> None:
    pool = HashingPool(PasswordHasher(4), slots=1)
    async with slots_taken(pool, "10.0.0.1"):
        assert await is_refused(pool, "10.0.0.2")
    pool.close()


async def test_a_refusal_reports_the_time_that_the_queued_jobs_take(
    pool: HashingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([100.0, 104.0, 200.0, 209.0])  # when each of two jobs began and ended
    monkeypatch.setattr(hashing, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    for _ in range(2):
        await pool.run(int)
    async with slots_taken(pool, *(f"10.0.0.{number}" for number in range(8))), pool.slot("10.0.0.9") as wait:
        # The first job is a quarter of the average, and then the second one is.
        assert wait == 8 / THREADS * timedelta(seconds=4 / 4 * 3 / 4 + 9 / 4)


async def test_a_slot_is_free_again_after_success_failure_and_cancellation(pool: HashingPool) -> None:
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
        async with pool.slot("10.0.0.1") as slot:
            assert isinstance(slot, Slot)
            await work()

    for _ in range(10):  # more often than there are slots
        for work, outcome in ((succeed, None), (fail, ZeroDivisionError), (hang, asyncio.CancelledError)):
            begun.clear()
            task = asyncio.create_task(visit(work))
            await begun.wait()
            if work is hang:
                task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            assert ended is outcome if outcome is None else isinstance(ended, outcome)


async def test_a_use_case_that_is_cancelled_while_queued_frees_its_slot(pool: HashingPool) -> None:
    async with slots_taken(pool, *(f"192.0.2.{number}" for number in range(RUNNING))):
        waiting = [asyncio.create_task(is_refused(pool, f"10.0.0.{number}")) for number in range(8 - RUNNING)]
        await asyncio.sleep(0)
        assert await is_refused(pool, "10.0.0.9")
        waiting[0].cancel()
        another = asyncio.create_task(is_refused(pool, "10.0.0.9"))
        waiting[1].cancel()  # while the turns of others end
    assert not await another
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)] == [False] * 4


async def test_a_job_that_is_cancelled_while_queued_never_runs(pool: HashingPool) -> None:
    ran: list[int] = []
    go_on = threading.Event()
    busy = [asyncio.create_task(pool.run(go_on.wait, WAIT)) for _ in range(THREADS)]
    given_up = asyncio.create_task(pool.run(ran.append, 1))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    go_on.set()
    await asyncio.gather(*busy, pool.run(ran.append, 2))
    assert given_up.cancelled()
    assert ran == [2]


async def test_no_state_is_kept_for_an_address_without_jobs(pool: HashingPool) -> None:
    for number in range(1000):
        await is_refused(pool, f"10.0.{number // 256}.{number % 256}")
    async with slots_taken(pool, "10.0.0.1", "10.0.0.1"):
        assert pool._last_turns.keys() == {"10.0.0.1"}
    assert pool._last_turns == {}
