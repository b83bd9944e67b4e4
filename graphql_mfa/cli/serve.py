"""graphql-mfa serve."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EADDRINUSE
from functools import partial
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET, socket
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from graphql_mfa.cli.configuration import connected_database, exit_on_wrong_configuration, read_settings, require_keys
from graphql_mfa.core.addresses import is_loopback
from graphql_mfa.core.keys import KeyRing
from graphql_mfa.logs import format_reports, log_config, logs_json, report
from graphql_mfa.metrics import MULTIPROCESS_DIRECTORY, scraped_registry
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import require_ready
from graphql_mfa.store.outages import UnavailableError, UnusableDatabaseError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from uvicorn import Config

_log = logging.getLogger("graphql_mfa")

_DEV_HELP = "Development on this machine: shows the explorer, and allows more registrations."
_LAST_PORT = 65_535
_KEEP_ALIVE_SECONDS = 15
_GC_THRESHOLD = 10_000  # Python's default of 700 is reached by a few requests
_WORKER_START_SECONDS = 60  # uvicorn's 5 would restart workers in a loop on a busy machine


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=_LAST_PORT)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    dev: Annotated[bool, typer.Option("--dev", help=_DEV_HELP)] = False,
) -> None:
    """Serve the API. Migrates an SQLite database first.

    Settings are environment variables, GRAPHQL_MFA_…: see docs/settings.md.
    """
    # Before reading the settings, so that errors in them are formatted too.
    json = logs_json(os.environ.get("GRAPHQL_MFA_LOG_FORMAT", "auto"))
    format_reports(json=json)
    from graphql_mfa.app import create_app

    settings = read_settings()
    if dev:
        settings = settings.for_development(port)
    with exit_on_wrong_configuration():
        if dev and not is_loopback(host):
            raise ValueError("--dev serves this machine alone: --host must be a loopback address, such as 127.0.0.1.")
        create_app(settings, dev=dev)  # reports configuration errors once, not in each worker
    key_ring = require_keys(settings)
    with exit_on_wrong_configuration():
        database = asyncio.run(_migrate_and_check(settings, key_ring))
    with _bind(host, port, dev=dev) as listener:
        # uvicorn raises the signal again after shutdown; exit with 0.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        config = _config(settings, workers, dev=dev, json=json)
        with _metrics(settings, workers):
            hint = _explorer_hint(settings, host, dev=dev)
            # Browsers allow passkeys at this name, and at no address.
            name = "localhost" if settings.passkey_rp_id == "localhost" else None
            _log.info("Using the database %s", database)
            _run(config, listener, f"Serving GraphQL at {_url(listener, name)} {hint}".strip())


def create_served_app(settings: Settings, *, dev: bool, json: bool) -> "FastAPI":
    """Create the application of one worker, and exempt its objects from garbage collection."""
    from graphql_mfa.app import create_app

    format_reports(json=json)
    app = create_app(settings, dev=dev)
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    return app


def _config(settings: Settings, workers: int, *, dev: bool, json: bool) -> "Config":
    import uvicorn

    from graphql_mfa.http_server import BoundedProtocol

    return uvicorn.Config(
        partial(create_served_app, settings, dev=dev, json=json),
        factory=True,
        workers=workers,
        http=partial(  # type: ignore[arg-type]  # a class by its annotation, but only called
            BoundedProtocol, max_connections=settings.max_connections
        ),
        # uvicorn counts idle connections too, and requests whose clients have disconnected.
        limit_concurrency=2 * settings.max_connections,
        # Mutations over WebSockets would bypass the limits of HTTP.
        ws="none",
        # Otherwise a client on this machine could forge its address.
        proxy_headers=False,
        # uvicorn's would contain query strings, and so variables.
        access_log=False,
        log_config=log_config(json=json),
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.stop_seconds,
        timeout_worker_healthcheck=_WORKER_START_SECONDS,
    )


def _bind(host: str, port: int, *, dev: bool) -> socket:
    """Bind a socket that doesn't listen yet. Failures exit with 1, not 2, since retrying can succeed."""
    listener = socket(AF_INET6 if ":" in host else AF_INET)
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        message = f"Can't listen on port {port} of {host}: {error.strerror}."
        if error.errno == EADDRINUSE:
            other = port + 1 if port < _LAST_PORT else port - 1
            message = f"Port {port} is in use. Choose another: `--port {other}`"
            message += f", or `make run PORT={other}`." if dev else "."
        report(message)
        sys.exit(1)
    return listener


def _url(listener: socket, name: str | None) -> str:
    address, port = listener.getsockname()[:2]
    host = name or address
    return f"http://[{host}]:{port}/graphql" if ":" in host else f"http://{host}:{port}/graphql"


def _explorer_hint(settings: Settings, host: str, *, dev: bool) -> str:
    if settings.explorer or (dev and settings.explorer is None):
        return "(open it in a browser for the explorer)"
    if settings.explorer is None and is_loopback(host):
        return "(without the explorer: `graphql-mfa serve --dev` shows it)"
    return ""


def _run(config: "Config", listener: socket, announcement: str) -> None:
    import uvicorn
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets)
            _log.info("%s", announcement)

    class Supervisor(Multiprocess):
        def keep_subprocess_alive(self) -> None:
            for worker in self.processes:
                # With the worker's end open here too, the health check would block on a worker that dies meanwhile.
                worker.child_conn.close()
            super().keep_subprocess_alive()

        def terminate_all(self) -> None:
            # An open listener would queue connections that no worker accepts.
            listener.close()
            super().terminate_all()

    with suppress(KeyboardInterrupt):
        if config.workers == 1:
            Server(config).run([listener])
            return
        _log.info("%s", announcement)
        supervisor = Supervisor(config, [listener])
        supervisor.run()
        if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
            sys.exit(STARTUP_FAILURE)


@contextmanager
def _metrics(settings: Settings, workers: int) -> Iterator[None]:
    """Collect metrics of all workers, and serve them on a separate port if one is configured."""
    if not settings.counts:
        yield
        return
    from prometheus_client import REGISTRY, start_http_server

    with TemporaryDirectory(prefix="graphql-mfa-metrics-") as directory:
        if workers > 1:
            os.environ[MULTIPROCESS_DIRECTORY] = directory
        if settings.metrics_port is not None:
            try:
                server, _ = start_http_server(settings.metrics_port, settings.metrics_host, scraped_registry(REGISTRY))
            except OSError as error:
                message = f"Can't show metrics on port {settings.metrics_port} of {settings.metrics_host}"
                report(f"{message}: {error.strerror}. See GRAPHQL_MFA_METRICS_PORT and GRAPHQL_MFA_METRICS_HOST.")
                sys.exit(1)
            _log.info("Metrics at http://%s:%d/metrics", settings.metrics_host, server.server_port)
        yield


async def _migrate_and_check(settings: Settings, key_ring: KeyRing) -> str:
    """Migrate an SQLite database. Fail at start rather than at the first login, unless a shared one is unavailable.

    Returns the database's address.
    """
    async with connected_database(settings) as database:
        if database.embedded:
            await database.migrate()
        try:
            await require_ready(database, key_ring)
        except UnusableDatabaseError:
            raise
        except UnavailableError:
            if database.embedded:
                raise
        return database.address
