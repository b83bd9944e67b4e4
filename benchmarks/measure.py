"""The measurements: their order, and the number of users of each."""

import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyotp
import uvloop

from benchmarks.client import Job, Sample, connected, drive, pace
from benchmarks.server import CORES, ONE_CORE, Server, pinned, serving
from benchmarks.target import OperationName, Target, UnexpectedAnswerError, User

OPERATIONS: tuple[OperationName, ...] = (
    "registerUser",
    "login",
    "verifyOtp",
    "me",
    "refreshSession",
    "finishPasskeyLogin",
)
CHEAP_ROUNDS = 4
DEAR_ROUNDS = 12
STORM_LOGINS = 16

_STORM_USERS = 4
_STORM_ME_INTERVAL = 0.01
_PERIOD = 30
_WARM_UP = 16
_BATCH = 64
_READERS = 64  # a client reads with one token again and again
_BATCH_SECONDS = 10.0
_NO_LIMIT = float("inf")
_PASSWORD = "four-otters-row-upstream"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    seconds: at most, for one operation at one number of connections. users: at least, in each round. rounds: how often
    everything is repeated, targets taking turns. starts: how often each target is started, for its cold start.
    """

    targets: Sequence[Target]
    operations: Sequence[OperationName] = OPERATIONS
    connections: Sequence[int] = (1, 8, 32)
    rounds: int = 3
    seconds: float = 0.7
    users: int = 350
    starts: int = 5
    storms: bool = True


@dataclass
class Seen:
    """All that was seen of one target, one entry a round."""

    samples: dict[OperationName, dict[int, list[Sample]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    idle_memory: list[int] = field(default_factory=list)
    peak_memory: list[int] = field(default_factory=list)
    first_starts: list[float] = field(default_factory=list)
    cold_starts: list[float] = field(default_factory=list)
    idle_me: list[list[float]] = field(default_factory=list)
    storm_me: list[list[float]] = field(default_factory=list)
    storm_logins: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Measurements:
    """All that was seen. hashes: a second, of bcrypt alone, by its cost and the number of cores."""

    targets: dict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    hashes: dict[int, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))


def measure(plan: Plan) -> Measurements:
    """Measure everything; targets take turns, since machines are faster at one time than at another."""
    found = Measurements()
    for target in plan.targets:
        target.install()
    for _ in range(plan.rounds):
        for rounds in (CHEAP_ROUNDS, DEAR_ROUNDS):
            for cores in _both_sizes():
                found.hashes[rounds][len(cores)].append(_hash_rate(rounds, cores, plan.seconds))
        for target in plan.targets:
            seen = found.targets[target.name]
            try:
                with _folder(target) as folder, serving(target, folder, ONE_CORE, CHEAP_ROUNDS) as server:
                    uvloop.run(_Load(target, server, seen, plan).run())
                if plan.storms and target.hashes:
                    for cores in _both_sizes():
                        with _folder(target) as folder, serving(target, folder, cores, DEAR_ROUNDS) as server:
                            uvloop.run(_storm(target, server, seen, len(cores)))
            except UnexpectedAnswerError as error:
                raise UnexpectedAnswerError(f"{target.name}: {error}") from error
    for target in plan.targets:
        with _folder(target) as folder:
            for start in range(plan.starts + 1):
                seen = found.targets[target.name]
                with serving(target, folder, ONE_CORE, CHEAP_ROUNDS) as server:
                    (seen.cold_starts if start else seen.first_starts).append(server.start_seconds)
                    if start:
                        seen.idle_memory.append(server.memory())
    return found


@contextmanager
def _folder(target: Target) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        target.prepare(folder)
        yield folder


def _both_sizes() -> list[list[int]]:
    return [ONE_CORE, CORES] if len(CORES) > 1 else [ONE_CORE]


def _hash_rate(rounds: int, cores: list[int], seconds: float) -> float:
    command = [sys.executable, "-m", "benchmarks.raw_hash", str(rounds), str(len(cores)), str(seconds)]
    with pinned(cores):
        return float(
            subprocess.run(  # noqa: S603 - our own command
                command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent
            ).stdout
        )


def _new_users(count: int) -> list[User]:
    return [User(f"user{next(_numbers):07}", _PASSWORD) for _ in range(count)]


class _Codes:
    """The codes that a target accepts. Where each is accepted once, those of three steps are all that there are."""

    def __init__(self, target: Target) -> None:
        self._once = target.codes_once

    def give(self, users: Sequence[User], *, confirm: bool = False) -> list[User]:
        """Give each user that can have one the next code; the users that got one."""
        now = int(time.time()) // _PERIOD
        given = []
        for user in users:
            step = now
            if self._once:
                step = now - 1 if confirm else max(now, user.last_step + 1)
            if step <= now + 1:
                user.code = pyotp.TOTP(user.secret).generate_otp(step) if user.secret else "000000"
                user.last_step = step
                given.append(user)
        return given


async def _within_one_step(seconds: float) -> None:
    """Wait for the next time step unless so much is left of this one: codes must not age while they are sent."""
    left = _PERIOD - time.time() % _PERIOD
    if left < seconds:
        await asyncio.sleep(left)


class _Load:
    """One round of one target."""

    def __init__(self, target: Target, server: Server, seen: Seen, plan: Plan) -> None:
        self._target = target
        self._server = server
        self._seen = seen
        self._plan = plan
        self._codes = _Codes(target)

    async def run(self) -> None:
        """Register the users, then let them do the rest at each number of connections."""
        peak = self._server.memory()
        levels = self._plan.connections
        # Not measured: the first requests, which compile and fill caches.
        users = await self._register(_WARM_UP)
        for connections in levels:
            new = _new_users(round(self._plan.seconds * 1000))
            done = await self._measure("registerUser", connections, new)
            users += new[:done]
        users += await self._register(self._plan.users - len(users))
        await confirm(self._target, self._server.port, users)
        if "finishPasskeyLogin" in self._plan.operations:
            await _run(self._target, "addPasskey", self._server.port, users)
        # Those of the last number of connections are all of them, with codes of the next time step.
        part = len(users) // max(1, len(levels) - 1)
        for position, connections in enumerate(levels):
            last = position == len(levels) - 1
            await self._sign_in(connections, users if last else users[position * part : (position + 1) * part])
            peak = max(peak, self._server.memory())
        self._seen.peak_memory.append(peak)

    async def _sign_in(self, connections: int, users: list[User]) -> None:
        measured = await self._measure("login", connections, users)
        if self._plan.operations != ("login",):
            await _run(self._target, "login", self._server.port, users[measured:])
        await _within_one_step(self._plan.seconds + 1)
        users = self._codes.give(users)
        measured = await self._measure("verifyOtp", connections, users)
        signed_in = users[:measured]
        if not measured and {"me", "refreshSession"} & set(self._plan.operations):
            await _run(self._target, "verifyOtp", self._server.port, users[:_BATCH])
            signed_in = users[:_BATCH]
        await self._measure("me", connections, signed_in[:_READERS], again=True)
        await self._measure("refreshSession", connections, signed_in)
        if "finishPasskeyLogin" in self._plan.operations:
            await _run(self._target, "beginPasskeyLogin", self._server.port, users)
            await self._measure("finishPasskeyLogin", connections, users)

    async def _measure(
        self, operation: OperationName, connections: int, users: Sequence[User], *, again: bool = False
    ) -> int:
        """Measure an operation, where the target has it and the plan wants it; how many users did it."""
        steps = self._target.operations.get(operation)
        if not steps or not users or operation not in self._plan.operations:
            return 0
        jobs = [Job(user, steps) for user in users]
        async with connected(self._server.port, connections) as opened:
            before = self._server.cpu_seconds()
            sample = await drive(opened, itertools.cycle(jobs) if again else jobs, self._plan.seconds)
            sample = replace(sample, server_cpu=self._server.cpu_seconds() - before)
        self._seen.samples[operation][connections].append(sample)
        return len(sample.latencies)

    async def _register(self, count: int) -> list[User]:
        users = _new_users(max(0, count))
        await _run(self._target, "registerUser", self._server.port, users)
        return users


async def _run(target: Target, operation: OperationName, port: int, users: Sequence[User]) -> None:
    """Have something done that is not measured."""
    steps = target.operations.get(operation)
    if steps:
        async with connected(port, 8) as opened:
            await drive(opened, [Job(user, steps) for user in users], _NO_LIMIT)


async def confirm(target: Target, port: int, users: Sequence[User]) -> None:
    """Confirm the second factor of new users."""
    codes = _Codes(target)
    for start in range(0, len(users), _BATCH):
        await _within_one_step(_BATCH_SECONDS)
        await _run(target, "confirm", port, codes.give(users[start : start + _BATCH], confirm=True))


async def _storm(target: Target, server: Server, seen: Seen, cores: int) -> None:
    """Logins per second at the bcrypt cost of a deployment, and the latency of `me` meanwhile."""
    users = _new_users(_STORM_USERS)
    await _run(target, "registerUser", server.port, users)
    await confirm(target, server.port, users)
    logins = [Job(user, target.operations["login"]) for user in users] * (STORM_LOGINS // _STORM_USERS)
    async with connected(server.port, STORM_LOGINS) as opened, connected(server.port, 1) as [reader]:
        sample = await drive(opened, logins, _NO_LIMIT)
        seen.storm_logins[cores].append(len(sample.latencies) / sample.seconds)
        if cores == len(CORES) and "me" in target.operations:
            await _run(target, "login", server.port, users[:1])
            await _within_one_step(1)
            await _run(target, "verifyOtp", server.port, _Codes(target).give(users[:1]))
            me = Job(users[0], target.operations["me"])
            over = asyncio.Event()
            asyncio.get_running_loop().call_later(2, over.set)
            seen.idle_me.append(await pace(reader, me, _STORM_ME_INTERVAL, over))
            over.clear()
            reading = asyncio.create_task(pace(reader, me, _STORM_ME_INTERVAL, over))
            await drive(opened, logins, _NO_LIMIT)
            over.set()
            seen.storm_me.append(await reading)
