"""The graphql-mfa command."""

import asyncio
import time
from datetime import UTC, datetime
from importlib import metadata
from typing import Annotated

import typer

from graphql_mfa.cli import keys, users, webhooks
from graphql_mfa.cli.configuration import (
    connected_database,
    exit_on_wrong_configuration,
    opened_database,
    read_settings,
)
from graphql_mfa.cli.serve import serve
from graphql_mfa.core.inputs import quantity
from graphql_mfa.core.keys import new_key
from graphql_mfa.flows.purging import PurgeError
from graphql_mfa.flows.purging import purge as delete_expired
from graphql_mfa.services import utc_now

# Typer's tracebacks print local variables, secrets included.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Multi-factor sign-in as a GraphQL API.")
app.command()(serve)
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(webhooks.app, name="webhooks")


@app.callback(invoke_without_command=True)
def _version(
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show:
        typer.echo(metadata.version("graphql-mfa"))
        raise typer.Exit


@app.command()
def migrate() -> None:
    """Migrate the database to this version's schema. Safe to run on several machines at once."""
    settings = read_settings()

    async def run() -> str:
        async with connected_database(settings) as database:
            migration = await database.migrate()
            if migration.before == migration.after:
                return f"{database.address} is up to date, at version {migration.after}."
            if migration.before is None:
                return f"Created the tables of version {migration.after} in {database.address}."
            return f"Migrated {database.address} from version {migration.before} to {migration.after}."

    typer.echo(asyncio.run(run()))


@app.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from graphql_mfa.http.schema import Schema

    settings = read_settings()
    with exit_on_wrong_configuration():
        typer.echo(Schema(settings).as_str())


@app.command("new-key")
def print_new_key() -> None:
    """Generate and print an entry for GRAPHQL_MFA_SECRET_KEYS."""
    typer.echo(new_key())


@app.command()
def totp(secret: Annotated[str, typer.Argument(help="The TOTP secret in base32.", metavar="SECRET")]) -> None:
    """Print the current code of a TOTP secret, for development without an authenticator app."""
    from graphql_mfa.core.totp import code_at, parse_secret

    parameters = read_settings().totp
    stored = parse_secret(secret)
    if stored is None:
        raise typer.BadParameter("this is not a TOTP secret of at least 80 bits in base32")
    typer.echo(code_at(stored, datetime.now(UTC), parameters))
    left = parameters.period - int(time.time()) % parameters.period
    typer.echo(f"valid for {quantity(left, 'more second')}", err=True)


@app.command()
def demo(
    url: Annotated[str | None, typer.Option(help="The /graphql of a server. By default one is started.")] = None,
) -> None:
    """Run a complete sign-in over HTTP, and print each step with its outcomes."""
    from graphql_mfa.demo import converse, own_server

    if url is not None:
        succeeded = converse(url)
    else:
        read_settings()
        with own_server() as own_url:
            succeeded = converse(own_url)
    raise typer.Exit(0 if succeeded else 1)


@app.command()
def purge() -> None:
    """Delete expired rows now. A running server does so periodically."""
    settings = read_settings()

    async def run() -> dict[str, int]:
        async with opened_database(settings) as database:
            return await delete_expired(database, settings, utc_now())

    try:
        purged = asyncio.run(run())
    except PurgeError as error:
        typer.echo(f"Purging failed, other tables were purged: {error}", err=True)
        raise typer.Exit(1) from None
    for table, rows in purged.items():
        typer.echo(f"{table}: {rows}")
