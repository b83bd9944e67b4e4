"""Instruments for Prometheus. Labels are names of the schema, the tables and this package, never clients' values."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

T = TypeVar("T")
C = TypeVar("C")

MULTIPROCESS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which prometheus_client sums up the workers of one server."""

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_DATABASE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The instruments of one registry; without a registry they record nothing, and prometheus_client isn't imported."""

    def __init__(self, registry: "CollectorRegistry | None") -> None:
        counter: Callable[..., Counter] = _no_instrument
        gauge: Callable[..., Gauge] = _no_instrument
        histogram: Callable[..., Histogram] = _no_instrument
        if registry is not None:
            import prometheus_client as client

            counter = partial(client.Counter, namespace="graphql_mfa", registry=registry)
            gauge = partial(client.Gauge, namespace="graphql_mfa", registry=registry, multiprocess_mode="livesum")
            histogram = partial(client.Histogram, namespace="graphql_mfa", registry=registry)
            build_info = gauge("build_info", "Always 1.", ["version", "python"], multiprocess_mode="max")
            build_info.labels(metadata.version("graphql-mfa"), platform.python_version()).set(1)
        self.requests_in_flight = gauge(
            "requests_in_flight", "Requests to the GraphQL endpoint that have no response yet."
        )
        self.responses = counter("responses", "Responses of the GraphQL endpoint.", ["status"])
        self.request_seconds = histogram(
            "request_seconds",
            "From a request's head to its response, by mutation, else by kind of operation; none when nothing ran.",
            ["operation"],
            buckets=_REQUEST_SECONDS,
        )
        self.outcomes = counter("outcomes", "Outcomes of operations.", ["field", "outcome"])
        self.unexpected_errors = counter(
            "unexpected_errors", "Errors that were masked in a response; each one is in the log."
        )
        self.hashing_slots_taken = gauge(
            "hashing_places_taken",
            "Logins, registrations and new passwords that wait for a hashing thread, or have one.",
        )
        self.hashing_refused = counter(
            "hashing_refused", "Logins, registrations and new passwords that found no slot, or lost theirs."
        )
        self.hashing_threads_busy = gauge("hashing_threads_busy", "Threads that hash or score a password now.")
        self.hashing_seconds = histogram("hashing_seconds", "One job of a hashing thread.", buckets=_REQUEST_SECONDS)
        transactions = gauge("database_transactions", "Transactions now, by whether they have a connection.", ["state"])
        self._waiting, self._running = transactions.labels("waiting"), transactions.labels("running")
        self._wait_seconds = histogram(
            "database_wait_seconds",
            "Until a transaction had a connection and its first lock.",
            ["kind"],
            buckets=_DATABASE_SECONDS,
        )
        self._transaction_seconds = histogram(
            "database_transaction_seconds", "A transaction from then to its end.", ["kind"], buckets=_DATABASE_SECONDS
        )
        self.database_failures = counter("database_failures", "Transactions that raised, after all retries.", ["kind"])
        self.purged_rows = counter("purged_rows", "Expired rows that were deleted.", ["table"])
        self.purge_succeeded_at = gauge(
            "purge_last_success_timestamp_seconds",
            "When the last purge without an error ended.",
            multiprocess_mode="max",
        )
        self.purge_failures = counter("purge_failures", "Purges that ended with an error.")
        self.events_waiting = gauge(
            "events_waiting",
            "Security events to deliver; at most 1000 are counted.",
            ["sink"],
            multiprocess_mode="mostrecent",
        )
        self.events_delivered = counter("events_delivered", "Security events that were delivered.", ["sink"])
        self.event_delivery_failures = counter("event_delivery_failures", "Failed attempts to deliver one.", ["sink"])
        self.events_dead = counter("events_dead", "Security events that were given up.", ["sink"])
        for kind in ("read", "write"):  # exported as 0 until the first one
            self._wait_seconds.labels(kind)
            self._transaction_seconds.labels(kind)
            self.database_failures.labels(kind)

    @contextmanager
    def transaction(
        self, kind: Literal["read", "write"], *, unless: type[Exception]
    ) -> Iterator[Callable[[Callable[[C], T]], Callable[[C], T]]]:
        """Time a transaction, its retries included, and count it as a failure if it raises, unless it raises `unless`.

        Yields a decorator for the function of the transaction: the wait for a connection ends when that is called.
        """
        asked_at = time.perf_counter()
        started_at: float | None = None
        lock = Lock()  # the caller may be cancelled just as the driver's thread starts the function

        # Quoted, since Python would evaluate them for each transaction, which takes as long as all the rest.
        def timed(transaction: "Callable[[C], T]") -> "Callable[[C], T]":
            def start(connection: C) -> T:
                nonlocal started_at
                with lock:
                    if started_at is None:
                        started_at = time.perf_counter()
                        self._waiting.dec()
                        self._running.inc()
                return transaction(connection)

            return start

        self._waiting.inc()
        try:
            yield timed
        except unless:
            raise
        except Exception:
            self.database_failures.labels(kind).inc()
            raise
        finally:
            ended_at = time.perf_counter()
            with lock:
                ran = started_at is not None
                started_at = started_at or ended_at
            (self._running if ran else self._waiting).dec()
            self._wait_seconds.labels(kind).observe(started_at - asked_at)
            if ran:
                self._transaction_seconds.labels(kind).observe(ended_at - started_at)


class _NoInstrument:
    """Stands in for an instrument of any type."""

    def labels(self, *_: object) -> Any:
        return self

    def inc(self, amount: float = 1) -> None:
        pass

    dec = set = observe = inc


def _no_instrument(*_: object, **__: object) -> Any:
    return _NoInstrument()


@cache
def metrics_in(registry: "CollectorRegistry | None") -> Metrics:
    """The instruments of a registry, which all deployments share that count in it: it takes each name once."""
    return Metrics(registry)


NO_METRICS = metrics_in(None)


def scraped_registry(registry: "CollectorRegistry") -> "CollectorRegistry":
    """The registry to show: this one, or in a server of several workers one that sums up all of them."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    directory = os.environ.get(MULTIPROCESS_DIRECTORY)
    if directory is None:
        return registry
    folder = Path(directory)

    class Workers(MultiProcessCollector):
        """The workers that write to the directory. Counts of dead workers stay; their live gauges are removed."""

        def collect(self) -> "Iterable[Metric]":
            for file in folder.glob("gauge_live*.db"):
                try:
                    os.kill(int(file.stem.rpartition("_")[2]), 0)
                except OSError:
                    file.unlink(missing_ok=True)
            found: Iterable[Metric] = super().collect()  # type: ignore[no-untyped-call]
            return found

    sums = CollectorRegistry()
    Workers(sums, directory)  # type: ignore[no-untyped-call]
    return sums
