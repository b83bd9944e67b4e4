"""Figures of the measurements: medians of the rounds, ratios, and goals."""

import os
import platform
import sqlite3
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.client import Sample
from benchmarks.measure import CHEAP_ROUNDS, DEAR_ROUNDS, Measurements, Plan, Seen

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("uvicorn", "uvloop", "fastapi", "strawberry-graphql", "sqlalchemy", "bcrypt")
_MEGABYTE = 1_000_000


def summary(plan: Plan, found: Measurements, load: float) -> dict[str, Any]:
    """Everything, as JSON has it. Times in milliseconds, memory in megabytes.

    load: the load average before it began; on a machine that was busy, ratios are of little worth.
    """
    figures: dict[str, Any] = {
        "machine": _machine(),
        "load": load,
        "commit": _commit(),
        "plan": {
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "connections": list(plan.connections),
            "operations": list(plan.operations),
            "bcrypt": {"operations": CHEAP_ROUNDS, "logins during which `me` is read": DEAR_ROUNDS},
        },
        "hashes": {
            str(rounds): {str(cores): statistics.median(rates) for cores, rates in by_cores.items()}
            for rounds, by_cores in found.hashes.items()
        },
        "targets": {target.name: _target(target.description, found.targets[target.name]) for target in plan.targets},
        "generator": max(
            (
                sample.generator
                for seen in found.targets.values()
                for levels in seen.samples.values()
                for samples in levels.values()
                for sample in samples
            ),
            default=0.0,
        ),
    }
    return figures | {"aims": [asdict(aim) | {"reached": aim.reached} for aim in aims(figures)]}


def _target(description: str, seen: Seen) -> dict[str, Any]:
    return {
        "description": description,
        "operations": {
            operation: {str(connections): _operation(samples) for connections, samples in levels.items()}
            for operation, levels in seen.samples.items()
        },
        "idle memory": _median(seen.idle_memory, 1 / _MEGABYTE),
        "peak memory": _median(seen.peak_memory, 1 / _MEGABYTE),
        "first start": _median(seen.first_starts, 1000),
        "cold start": _median(seen.cold_starts, 1000),
        "idle me p99": _median([percentile(latencies, 99) for latencies in seen.idle_me], 1000),
        "storm me p50": _median([percentile(latencies, 50) for latencies in seen.storm_me], 1000),
        "storm me p99": _median([percentile(latencies, 99) for latencies in seen.storm_me], 1000),
        "storm logins": {str(cores): statistics.median(rates) for cores, rates in seen.storm_logins.items()},
    }


def _operation(samples: Sequence[Sample]) -> dict[str, float | None]:
    return {
        "count": sum(len(sample.latencies) for sample in samples),
        "rate": _median([len(sample.latencies) / sample.seconds for sample in samples]),
        "cpu": _median([sample.server_cpu / len(sample.latencies) for sample in samples], 1000),
        **{
            f"p{percent}": _median([percentile(sample.latencies, percent) for sample in samples], 1000)
            for percent in (50, 95, 99)
        },
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _median(values: Sequence[float], factor: float = 1) -> float | None:
    return statistics.median(values) * factor if values else None


_BESIDE = {
    "better-auth": {"registerUser": 2, "login": 1.2, "verifyOtp": 2.5, "me": 1.6},
    "django-allauth": {"registerUser": 2.5, "login": 1.6, "verifyOtp": 3.3, "me": 3.5},
}


@dataclass(frozen=True)
class Aim:
    """An aim: the comparison, the wanted value, and the measured one."""

    what: str
    wanted: float
    at_most: bool
    seen: float

    @property
    def reached(self) -> bool:
        """Whether it is met."""
        return self.seen <= self.wanted if self.at_most else self.seen >= self.wanted


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Those of the aims whose parts were all measured."""
    found: list[Aim] = []
    last = str(figures["plan"]["connections"][-1])
    hashes = figures["hashes"]
    targets = figures["targets"]
    ours = targets.get("ours", {})

    def add(what: str, wanted: float, one: float | None, other: float | None, *, at_most: bool = False) -> None:
        if one and other:
            found.append(Aim(what, wanted, at_most, one / other))

    def rate(name: str, operation: str) -> float | None:
        measured: float | None = (
            targets.get(name, {}).get("operations", {}).get(operation, {}).get(last, {}).get("rate")
        )
        return measured

    for name, wanted in _BESIDE.items():
        for operation, times in wanted.items():
            add(f"{operation} a second, beside {name}", times, rate("ours", operation), rate(name, operation))
    for cores, logins in ours.get("storm logins", {}).items():
        hashed = hashes[str(DEAR_ROUNDS)][cores]
        add(f"login beside the hash alone, cores: {cores}", 0.95, logins, hashed)
    if logins := ours.get("storm logins"):
        add("logins on all cores, beside one", 1.8, list(logins.values())[-1], logins["1"])
    add("me p99 during logins, beside idle", 3, ours.get("storm me p99"), ours.get("idle me p99"), at_most=True)
    return found


def _machine() -> dict[str, str | int]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{package: version(package) for package in _PACKAGES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """The commit that was measured; empty outside a working copy."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
