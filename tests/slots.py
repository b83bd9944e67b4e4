"""Slots before the hashing threads, taken by use cases that don't end."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graphql_mfa.hashing import HashingPool, Slot
from tests.clock import WAIT

# A process may be bound to fewer cores than the machine has.
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
RUNNING = THREADS + 1  # use cases that have their turn at once
RUNNING_FOR_ONE_ADDRESS = min(RUNNING, 4)


@asynccontextmanager
async def slots_taken(pool: HashingPool, *addresses: str) -> AsyncIterator[None]:
    """A slot for each of the addresses; none of them is displaced meanwhile."""
    over = asyncio.Event()

    async def take(address: str) -> bool:
        async with pool.slot(address) as slot:
            await over.wait()
            return isinstance(slot, Slot)

    tasks = [asyncio.create_task(take(address)) for address in addresses]
    await asyncio.sleep(0)
    try:
        yield
    finally:
        over.set()
        assert all(await asyncio.gather(*tasks))


async def until_taken(pool: HashingPool, count: int) -> None:
    """Wait until that many use cases have a slot."""
    async with asyncio.timeout(WAIT):
        while len(pool._taken) < count:  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0)
