"""Metrics for Prometheus. Labels hold names of the schema, of the tables and of our own, nothing that a client sent."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from graphql_mfa.observer import C, Observer, T, Transaction
from graphql_mfa.store.database import RolledBackError

MULTIPROCESS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The variable of prometheus_client's by which the workers of one server count together."""

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_DATABASE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics(Observer):
    """Counts what happens in this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"graphql_mfa_{name}", meaning, labels, registry=registry)

        def gauge(
            name: str, meaning: str, *labels: str, mode: Literal["livesum", "max", "mostrecent"] = "livesum"
        ) -> Gauge:
            return Gauge(f"graphql_mfa_{name}", meaning, labels, registry=registry, multiprocess_mode=mode)

        def histogram(name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"graphql_mfa_{name}", meaning, labels, buckets=buckets, registry=registry)

        gauge("build_info", "Always 1.", "version", "python", mode="max").labels(
            metadata.version("graphql-mfa"), platform.python_version()
        ).set(1)
        self._in_flight = gauge("requests_in_flight", "Requests to the GraphQL endpoint without an answer yet.")
        self._responses = counter("responses", "Answers of the GraphQL endpoint.", "status")
        self._request_seconds = histogram(
            "request_seconds",
            "From a request's head to its answer, by mutation, else by kind of operation; none when nothing ran.",
            _REQUEST_SECONDS,
            "operation",
        )
        self._outcomes = counter("outcomes", "Outcomes of operations.", "field", "outcome")
        self._errors = counter("unexpected_errors", "Errors that clients saw masked; each is in the log.")
        self._places = gauge(
            "hashing_places_taken", "Logins, registrations and new passwords that wait for hashing, or are in it."
        )
        self._refused = counter(
            "hashing_refused", "Logins, registrations and new passwords that found no slot, or lost it."
        )
        self._busy = gauge("hashing_threads_busy", "Threads that hash or judge a password now.")
        self._hashing_seconds = histogram("hashing_seconds", "One job of a hashing thread.", _REQUEST_SECONDS)
        in_progress = gauge("database_transactions", "Transactions now, by whether they have a connection.", "state")
        self._waiting, self._running = in_progress.labels("waiting"), in_progress.labels("running")
        wait_seconds = histogram(
            "database_wait_seconds",
            "Until a transaction had a connection and its first lock.",
            _DATABASE_SECONDS,
            "kind",
        )
        transaction_seconds = histogram(
            "database_transaction_seconds", "A transaction from then to its end.", _DATABASE_SECONDS, "kind"
        )
        failures = counter("database_failures", "Transactions that raised, after all tries.", "kind")
        # Looked up once: there are several transactions in a request.
        self._transactions = {
            kind: (wait_seconds.labels(kind), transaction_seconds.labels(kind), failures.labels(kind))
            for kind in ("read", "write")
        }
        self._purged_rows = counter("purged_rows", "Expired rows that were deleted.", "table")
        self._purged_at = gauge("purge_last_success_timestamp_seconds", "When a purge last ended well.", mode="max")
        self._purge_failures = counter("purge_failures", "Purges that ended with an error.")
        self._events_waiting = gauge(
            "events_waiting", "Security events to deliver; 1000 stands for more, too.", "sink", mode="mostrecent"
        )
        self._events_delivered = counter("events_delivered", "Security events that were delivered.", "sink")
        self._event_failures = counter("event_delivery_failures", "Tries to deliver one that failed.", "sink")
        self._events_dead = counter("events_dead", "Security events that were given up.", "sink")

    def request_began(self) -> None:
        self._in_flight.inc()

    def request_answered(self, kind: str | None, outcomes: Sequence[str], status: int, seconds: float) -> None:
        self._responses.labels(status).inc()
        operation = kind or "none"
        for text in reversed(outcomes):
            operation, _, outcome = text.partition("=")
            self._outcomes.labels(operation, outcome).inc()
        self._request_seconds.labels(operation).observe(seconds)

    def request_ended(self) -> None:
        self._in_flight.dec()

    def unexpected_error(self) -> None:
        self._errors.inc()

    def hashing_place_taken(self) -> None:
        self._places.inc()

    def hashing_place_left(self) -> None:
        self._places.dec()

    def hashing_place_refused(self) -> None:
        self._refused.inc()

    def hashing_began(self) -> None:
        self._busy.inc()

    def hashing_ended(self, seconds: float) -> None:
        self._busy.dec()
        self._hashing_seconds.observe(seconds)

    @contextmanager
    def transaction(self, kind: Literal["read", "write"]) -> Iterator[Callable[[Transaction[C, T]], Transaction[C, T]]]:
        wait_seconds, transaction_seconds, failures = self._transactions[kind]
        asked = time.perf_counter()
        began: float | None = None
        over = False
        lock = Lock()  # whoever asked may give up at the moment when a thread begins

        def marked(transaction: Transaction[C, T]) -> Transaction[C, T]:
            def begin(connection: C) -> T:
                nonlocal began
                with lock:
                    if began is None and not over:
                        began = time.perf_counter()
                        self._waiting.dec()
                        self._running.inc()
                return transaction(connection)

            return begin

        self._waiting.inc()
        try:
            yield marked
        except RolledBackError:
            raise
        except Exception:
            failures.inc()
            raise
        finally:
            with lock:
                over = True
            (self._running if began else self._waiting).dec()
            ended = time.perf_counter()
            wait_seconds.observe((began or ended) - asked)
            if began:
                transaction_seconds.observe(ended - began)

    def purged(self, rows: Mapping[str, int], now: datetime) -> None:
        for table, count in rows.items():
            self._purged_rows.labels(table).inc(count)
        self._purged_at.set(now.timestamp())

    def purge_failed(self) -> None:
        self._purge_failures.inc()

    def events_waiting(self, sink: str, count: int) -> None:
        self._events_waiting.labels(sink).set(count)

    def event_delivered(self, sink: str) -> None:
        self._events_delivered.labels(sink).inc()

    def event_delivery_failed(self, sink: str) -> None:
        self._event_failures.labels(sink).inc()

    def event_given_up(self, sink: str) -> None:
        self._events_dead.labels(sink).inc()


@cache
def metrics_in(registry: CollectorRegistry) -> Metrics:
    """The metrics of all deployments that share a registry: it takes each name once."""
    return Metrics(registry)


def shown(registry: CollectorRegistry) -> CollectorRegistry:
    """What a scrape is to see: the registry, or, of a server with several workers, what all of them counted."""
    directory = os.environ.get(MULTIPROCESS_DIRECTORY)
    if directory is None:
        return registry
    everyone = CollectorRegistry()
    _Workers(everyone, directory)  # type: ignore[no-untyped-call]
    return everyone


class _Workers(MultiProcessCollector):
    """The workers that write to a directory. What a dead one counted stays; what it had under way does not."""

    def collect(self) -> Iterable[Metric]:
        for file in Path(self._path).glob("gauge_live*.db"):
            try:
                os.kill(int(file.stem.rpartition("_")[2]), 0)
            except OSError:
                file.unlink(missing_ok=True)
        found: Iterable[Metric] = super().collect()  # type: ignore[no-untyped-call]
        return found
