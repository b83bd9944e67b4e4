"""The graphql-mfa command."""

import asyncio
import ipaddress
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from graphql_mfa.core.key_ring import new_key
from graphql_mfa.key_file import load_key_ring
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import Database, sqlite_file

# Typer's own tracebacks print local variables, and so secrets.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Multi-factor sign-in as a GraphQL API.")

_GRACEFUL_STOP_SECONDS = 10
_KEEP_ALIVE_SECONDS = 15


@app.callback(invoke_without_command=True)
def _version(
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show:
        typer.echo(metadata.version("graphql-mfa"))
        raise typer.Exit


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65_535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
) -> None:
    """Serve the API. An SQLite database is migrated first; the explorer is on when the address is a loopback one."""
    import uvicorn

    from graphql_mfa.app import create_app
    from graphql_mfa.http_server import BoundedProtocol
    from graphql_mfa.logs import log_config

    if _is_loopback(host):
        os.environ.setdefault("GRAPHQL_MFA_EXPLORER", "true")
    settings = _settings()
    with _wrong_configuration_ends_it():
        create_app(settings)  # What is wrong with it is told here, once, and not by each worker.
    _demand_keys(settings)
    typer.echo(
        f"Starting GraphQL at http://{host}:{port}/graphql" + (", explorer too" if settings.explorer else ""), err=True
    )
    # uvicorn raises the signal again once it has shut down; a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        "graphql_mfa.app:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        # uvicorn only calls it, so it need not be a class.
        http=partial(  # type: ignore[arg-type]
            BoundedProtocol,
            max_head_bytes=settings.max_head_bytes,
            head_timeout_seconds=settings.head_timeout_seconds,
            max_connections=settings.max_connections,
        ),
        # For requests whose clients are gone: they still run. uvicorn counts idle connections too.
        limit_concurrency=2 * settings.max_connections,
        # Mutations must not run over a socket that the limits of HTTP don't see.
        ws="none",
        # Otherwise a caller on this machine could choose the address that it is counted under.
        proxy_headers=False,
        # It would log query strings, and people put variables there; requests get a line of our own.
        access_log=False,
        log_config=log_config(json=_logs_json(settings)),
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACEFUL_STOP_SECONDS,
    )


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema. Safe to run from several machines at once."""
    settings = _settings()
    if settings.embedded:
        # A key is made before its database, so that a lost one is noticed.
        _demand_keys(settings)

    async def run() -> None:
        database = Database(settings.database_url)
        try:
            await database.migrate()
        finally:
            await database.close()

    try:
        asyncio.run(run())
    except OSError as error:
        typer.echo(f"The database is out of reach ({type(error).__name__}).", err=True)
        raise typer.Exit(1) from None
    typer.echo("The database is up to date.")


@app.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from graphql_mfa.api.schema import build_schema

    settings = _settings()
    with _wrong_configuration_ends_it():
        typer.echo(build_schema(settings).as_str())


@app.command("new-key")
def print_new_key() -> None:
    """Print a fresh entry for GRAPHQL_MFA_SECRET_KEYS."""
    typer.echo(new_key())


@app.command()
def totp(secret: Annotated[str, typer.Argument(help="The TOTP secret in base32.", metavar="SECRET")]) -> None:
    """Print the code that an authenticator app shows now, for trying things out without one."""
    import pyotp

    parameters = _settings().totp
    try:
        device = pyotp.TOTP(secret.replace(" ", ""), digits=parameters.digits, interval=parameters.period)
    except ValueError:
        raise typer.BadParameter("this is not a TOTP secret in base32") from None
    typer.echo(device.at(datetime.now(UTC)))
    left = parameters.period - int(time.time()) % parameters.period
    typer.echo(f"valid for {left} more seconds", err=True)


@app.command()
def demo(
    url: Annotated[str | None, typer.Option(help="A server's /graphql; one is started when left out.")] = None,
) -> None:
    """Run a whole sign-in as a client over HTTP, and print every operation and answer."""
    from graphql_mfa.demo import converse, own_server

    if url is not None:
        succeeded = converse(url)
    else:
        _settings()
        with own_server() as own_url:
            succeeded = converse(own_url)
    raise typer.Exit(0 if succeeded else 1)


@app.command()
def purge() -> None:
    """Delete expired rows now; a running server does so by itself."""
    from graphql_mfa.flows.purge import purge as purge_now
    from graphql_mfa.mfa import open_services

    settings = _settings()
    _demand_keys(settings)

    async def run() -> dict[str, int]:
        async with open_services(settings) as services:
            return await purge_now(services)

    for table, rows in asyncio.run(run()).items():
        typer.echo(f"{table}: {rows}")


def _settings() -> Settings:
    """The settings; what is wrong with them ends the command."""
    with _wrong_configuration_ends_it():
        settings = Settings()
        file = sqlite_file(settings.database_url)
        if file and not file.parent.is_dir():
            raise FileNotFoundError(f"No such file or directory: {file.parent}")
    _warn_of_unknown_settings()
    return settings


def _demand_keys(settings: Settings) -> None:
    """Look at the key ring now, and make it where one is made; what is wrong with it ends the command."""
    with _wrong_configuration_ends_it():
        load_key_ring(settings)


@contextmanager
def _wrong_configuration_ends_it() -> Iterator[None]:
    """A message for the operator instead of a traceback. It repeats no value."""
    try:
        yield
    except ValidationError as error:
        _stop("; ".join(_fault(problem) for problem in error.errors()))
    # ValueError: our own refusals; OSError: a key file that can't be read or made.
    except (ValueError, OSError) as error:
        _stop(str(error))


def _fault(problem: ErrorDetails) -> str:
    # What follows the setting's name in `loc` is a place inside of its value.
    name = " ".join(f"GRAPHQL_MFA_{part}".upper() for part in problem["loc"][:1])
    return f"{name} {problem['msg'].removeprefix('Value error, ')}".strip()


def _warn_of_unknown_settings() -> None:
    known = {f"GRAPHQL_MFA_{name}".upper() for name in Settings.model_fields}
    for name in sorted(name for name in os.environ if name.startswith("GRAPHQL_MFA_") and name not in known):
        typer.echo(f"There is no setting {name}: it is ignored.", err=True)


def _stop(message: str) -> NoReturn:
    typer.echo(f"Wrong configuration: {message}", err=True)
    sys.exit(2)


def _logs_json(settings: Settings) -> bool:
    return settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
