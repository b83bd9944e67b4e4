"""`python -m benchmarks.scale`: the cost of a large store and of purging it. See docs/performance.md.

Sign-ins with a million accounts are measured beside the same with a thousand, and sign-ins during a purge beside those
without one, on SQLite and on PostgreSQL.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyotp
import uvloop
from sqlalchemy import make_url

from benchmarks.client import Job, Sample, connected, drive
from benchmarks.measure import CHEAP_ROUNDS
from benchmarks.population import Population, expired_rows, fill
from benchmarks.results import percentile
from benchmarks.server import GENERATOR_CORE, ONE_CORE, Server, cpu_seconds, pinned, serving
from benchmarks.target import User
from benchmarks.targets import DURABLE, OURS, ours
from graphql_mfa.core.keys import new_key
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import Database
from tests.postgresql import running_server

ENGINES = ("sqlite", "postgresql")

_CONNECTIONS = 8  # for as much as the server can do
_LOOK_SECONDS = 0.25
_A_DAY = 86_400


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    users: of the small and of the large store. rounds: the stores take turns. visitors: of each store, in all rounds.
    purge: the store that is purged. seconds: of sign-ins without a purge.
    """

    engines: Sequence[str] = ENGINES
    users: Sequence[int] = (1_000, 1_000_000)
    rounds: int = 5
    visitors: int = 1_000
    purge: Population = field(default_factory=lambda: Population(100_000, 30_000, 200_000))
    seconds: float = 10


@dataclass(frozen=True)
class Store:
    """A store that is filled. cpu_seconds: processor time of its own processes so far. visitors: who sign in."""

    settings: Settings
    cpu_seconds: Callable[[], float]
    visitors: list[User]


Make = Callable[[Population], Store]


@dataclass(frozen=True)
class Cost:
    """Of one operation: median processor time of server and store, and median latency, in seconds."""

    cpu: float
    p50: float


@dataclass(frozen=True)
class Purge:
    """Sign-ins without a purge and during one, and the rows that it deleted a second."""

    without: Sample
    during: Sample
    rows_a_second: float


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--engines", default=",".join(ENGINES), help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--users", default=",".join(map(str, Plan.users)), help="in the small and in the large store")
    options = parser.parse_args()
    plan = Plan(engines=options.engines.split(","), users=[int(count) for count in options.users.split(",")])
    print("| | users | processor time, ms | p50, ms | processor time, ratio | p50, ratio |\n|---|---|---|---|---|---|")
    for engine in plan.engines:
        with stores(engine) as make:
            for line in scale_lines(engine, plan, measure_scale(make, plan)):
                print(line, flush=True)
    print(
        "\n| | verifyOtp a second | p50, ms | p99, ms | longest, ms | rows purged a second |\n|---|---|---|---|---|---|"
    )
    for engine in plan.engines:
        with stores(engine) as make:
            for line in purge_lines(engine, measure_purge(make, plan)):
                print(line, flush=True)


@contextmanager
def stores(engine: str) -> Iterator[Make]:
    """Where stores of that engine can be made. They are gone afterwards."""
    with ExitStack() as stack:
        if engine == "postgresql":
            server = stack.enter_context(running_server(*DURABLE))

            def make(population: Population) -> Store:
                settings = _settings(server.migrated_database())
                visitors = uvloop.run(fill(settings, population))
                server.execute(make_url(settings.database_url).database or "", "VACUUM ANALYZE")
                return Store(settings, lambda: cpu_seconds(server.process), visitors)

        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))

            def make(population: Population) -> Store:
                settings = _settings(f"sqlite+aiosqlite:///{folder}/{population.users}.db")
                return Store(settings, lambda: 0.0, uvloop.run(fill(settings, population)))

        yield make


def _settings(url: str) -> Settings:
    return Settings(database_url=url, secret_keys=new_key())  # type: ignore[arg-type]


@contextmanager
def _served(store: Store, *, purge_interval: int = _A_DAY) -> Iterator[Server]:
    keys = store.settings.secret_keys
    environment = {
        "GRAPHQL_MFA_DATABASE_URL": store.settings.database_url,
        "GRAPHQL_MFA_SECRET_KEYS": keys.get_secret_value() if keys else "",
        "GRAPHQL_MFA_PURGE_INTERVAL_SECONDS": str(purge_interval),
    }
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        serving(ours(environment), Path(folder), ONE_CORE, CHEAP_ROUNDS) as server,
    ):
        yield server


def measure_scale(make: Make, plan: Plan) -> dict[str, list[Cost]]:
    """For each operation, the costs in the small and in the large store."""
    sides = [make(Population(users, min(users, plan.visitors))) for users in plan.users]
    with pinned([GENERATOR_CORE]), ExitStack() as stack:
        servers = [stack.enter_context(_served(store)) for store in sides]
        return uvloop.run(_take_turns(list(zip(sides, servers, strict=True)), plan))


async def _take_turns(sides: Sequence[tuple[Store, Server]], plan: Plan) -> dict[str, list[Cost]]:
    samples: dict[str, list[list[Sample]]] = {name: [[] for _ in sides] for name in ("verifyOtp", "me")}
    for round_ in range(plan.rounds + 1):
        for side, (store, server) in enumerate(sides):
            part = store.visitors[round_ :: plan.rounds + 1]
            for name, jobs in (("me", _reading(store.visitors)), ("verifyOtp", _verifying(part))):
                sample = await _sample(store, server, jobs, connections=1)
                # Not counted: the first requests, which compile and fill caches.
                if round_:
                    samples[name][side].append(sample)
    return {name: [_cost(of_side) for of_side in of_sides] for name, of_sides in samples.items()}


def _cost(samples: Sequence[Sample]) -> Cost:
    return Cost(
        statistics.median(sample.server_cpu / len(sample.latencies) for sample in samples),
        statistics.median(percentile(sample.latencies, 50) for sample in samples),
    )


def _verifying(visitors: Iterable[User]) -> Iterator[Job]:
    """Jobs with the codes of the moment at which they are asked for."""
    for visitor in visitors:
        visitor.code = pyotp.TOTP(visitor.secret).now()
        yield Job(visitor, OURS.operations["verifyOtp"])


def _reading(visitors: Iterable[User]) -> Iterator[Job]:
    return (Job(visitor, OURS.operations["me"]) for visitor in visitors)


async def _sample(
    store: Store, server: Server, jobs: Iterator[Job], *, connections: int, seconds: float = float("inf")
) -> Sample:
    def cpu() -> float:
        return server.cpu_seconds() + store.cpu_seconds()

    async with connected(server.port, connections) as opened:
        before = cpu()
        sample = await drive(opened, jobs, seconds)
        return replace(sample, server_cpu=cpu() - before)


def measure_purge(make: Make, plan: Plan) -> Purge:
    """Sign in at full speed, first while nothing is purged, then until all that had expired is."""
    store = make(plan.purge)
    visitors = iter(store.visitors)
    with pinned([GENERATOR_CORE]):
        with _served(store) as server:
            jobs = _verifying(visitors)
            without = uvloop.run(_sample(store, server, jobs, connections=_CONNECTIONS, seconds=plan.seconds))
        # Counted before the server starts, which soon purges.
        expired = uvloop.run(_expired(store))
        with _served(store, purge_interval=1) as server:
            during, rows_a_second = uvloop.run(_during_purge(store, server, visitors, expired))
    return Purge(without, during, rows_a_second)


async def _expired(store: Store) -> int:
    database = Database(store.settings.database_url)
    try:
        return await database.read(expired_rows)
    finally:
        await database.close()


async def _during_purge(
    store: Store, server: Server, visitors: Iterator[User], everything: int
) -> tuple[Sample, float]:
    database = Database(store.settings.database_url)
    over = asyncio.Event()

    async def watch() -> float:
        """Rows per second, from the last poll that found all of them to the first that found none."""
        left = everything
        began = time.perf_counter()
        while left:
            await asyncio.sleep(_LOOK_SECONDS)
            if left == everything:
                began = time.perf_counter() - _LOOK_SECONDS
            left = await database.read(expired_rows)
        over.set()
        return everything / (time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        jobs = itertools.takewhile(lambda _: not over.is_set(), _verifying(visitors))
        sample = await _sample(store, server, jobs, connections=_CONNECTIONS)
        if not over.is_set():
            raise RuntimeError("Every visitor signed in before the purge was over: take more of them.")
    await database.close()
    return sample, watching.result()


def scale_lines(engine: str, plan: Plan, costs: Mapping[str, Sequence[Cost]]) -> Iterator[str]:
    """Rows of a table: for each operation, both stores, and the large one beside the small one."""
    for operation, (small, large) in costs.items():
        numbers = " and ".join(f"{users:,}" for users in plan.users)
        cpu = f"{1000 * small.cpu:.2f} and {1000 * large.cpu:.2f}"
        p50 = f"{1000 * small.p50:.2f} and {1000 * large.p50:.2f}"
        ratios = f"**{large.cpu / small.cpu:.2f}** | **{large.p50 / small.p50:.2f}**"
        yield f"| `{operation}`, {engine} | {numbers} | {cpu} | {p50} | {ratios} |"


def purge_lines(engine: str, purge: Purge) -> Iterator[str]:
    """Rows of a table: without a purge, and during one."""
    for when, sample, rows in (
        ("without", purge.without, "-"),
        ("during a purge", purge.during, f"{purge.rows_a_second:,.0f}"),
    ):
        rate = len(sample.latencies) / sample.seconds
        latencies = " | ".join(f"{1000 * percentile(sample.latencies, percent):.1f}" for percent in (50, 99, 100))
        yield f"| {engine}, {when} | {rate:.0f} | {latencies} | {rows} |"


if __name__ == "__main__":
    main()
