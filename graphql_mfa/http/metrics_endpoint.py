"""The endpoint that Prometheus scrapes."""

import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from graphql_mfa.http.http_request import bearer_token

MULTIPROCESS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which prometheus_client sums up the workers of one server."""


def metrics_endpoint(registry: CollectorRegistry, token: str) -> Callable[[Request], Response]:
    """An endpoint that shows a registry to requests with this bearer token."""

    # Not `async`, so that Starlette runs it in a thread: reading the files of all workers would block the event loop.
    def scrape(request: Request) -> Response:
        if not secrets.compare_digest((bearer_token(request) or "").encode(), token.encode()):
            return PlainTextResponse("Unauthorized", 401, {"WWW-Authenticate": "Bearer"})
        return Response(generate_latest(scraped_registry(registry)), media_type=CONTENT_TYPE_LATEST)

    return scrape


def scraped_registry(registry: CollectorRegistry) -> CollectorRegistry:
    """The registry to show: this one, or in a server of several workers one that sums up all of them."""
    directory = os.environ.get(MULTIPROCESS_DIRECTORY)
    if directory is None:
        return registry
    sums = CollectorRegistry()
    _Workers(sums, directory)  # type: ignore[no-untyped-call]
    return sums


class _Workers(MultiProcessCollector):
    """The workers that write to a directory. Counts of dead workers stay; their live gauges are removed."""

    def collect(self) -> Iterable[Metric]:
        for file in Path(self._path).glob("gauge_live*.db"):
            try:
                os.kill(int(file.stem.rpartition("_")[2]), 0)
            except OSError:
                file.unlink(missing_ok=True)
        found: Iterable[Metric] = super().collect()  # type: ignore[no-untyped-call]
        return found
