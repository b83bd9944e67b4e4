"""The graphql-mfa command."""

import asyncio
from datetime import UTC, datetime
from importlib import metadata
from typing import Annotated

import typer

from graphql_mfa.cli import users
from graphql_mfa.cli.configuration import (
    connected_database,
    exit_on_wrong_configuration,
    read_settings,
    require_keys,
    run_on_database,
)
from graphql_mfa.cli.serve import serve
from graphql_mfa.core.inputs import quantity
from graphql_mfa.core.keys import new_key
from graphql_mfa.core.totp import code_at, parse_secret
from graphql_mfa.flows.keys import KeyPlace, KeyUsage, key_usage, rotate_keys
from graphql_mfa.flows.notifications import retry, undelivered
from graphql_mfa.flows.purging import PurgeError
from graphql_mfa.flows.purging import purge as delete_expired
from graphql_mfa.http.schema import Schema
from graphql_mfa.services import utc_now
from graphql_mfa.store.database import Database

# Typer's tracebacks print local variables, secrets included.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Multi-factor sign-in as a GraphQL API.")
app.command()(serve)
keys = typer.Typer(no_args_is_help=True, help="See which keys are in use, and re-encrypt with the current one.")
app.add_typer(keys, name="keys")
app.add_typer(users.app, name="users")
webhooks = typer.Typer(
    no_args_is_help=True, help="Show undelivered security events, and retry those that were given up."
)
app.add_typer(webhooks, name="webhooks")


@app.callback(invoke_without_command=True)
def _version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
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
    parameters = read_settings().totp
    stored = parse_secret(secret)
    if stored is None:
        raise typer.BadParameter("this is not a TOTP secret of at least 80 bits in base32")
    now = datetime.now(UTC)
    typer.echo(code_at(stored, now, parameters))
    left = parameters.period - int(now.timestamp()) % parameters.period
    typer.echo(f"valid for {quantity(left, 'more second')}", err=True)


@app.command()
def demo(
    url: Annotated[str | None, typer.Option(help="The /graphql of a server. By default one is started.")] = None,
    passkey: Annotated[
        bool, typer.Option("--passkey", help="Sign in with a passkey, not with an authenticator app.")
    ] = False,
) -> None:
    """Run a complete sign-in over HTTP, and print each step with its outcomes."""
    from graphql_mfa.demo import converse, own_server

    if url is not None:
        succeeded = converse(url, passkey=passkey)
    else:
        read_settings()
        with own_server() as own_url:
            succeeded = converse(own_url, passkey=passkey)
    raise typer.Exit(0 if succeeded else 1)


@app.command()
def purge() -> None:
    """Delete expired rows now. A running server does so periodically."""
    settings = read_settings(database_must_exist=True)
    try:
        purged = run_on_database(settings, lambda database: delete_expired(database, settings, utc_now()))
    except PurgeError as error:
        typer.echo(f"Purging failed, other tables were purged: {error}", err=True)
        raise typer.Exit(1) from None
    for table, rows in purged.items():
        typer.echo(f"{table}: {rows}")


@keys.command("status")
def keys_status() -> None:
    """Print the use of each key, and whether it can be removed from the ring. Fails if a key is missing."""
    settings = read_settings(database_must_exist=True)
    ring = require_keys(settings)
    usages = run_on_database(settings, lambda database: key_usage(database, ring, settings, utc_now()))
    typer.echo(_row("key", "place", "secrets", "sessions", "can it be removed from the ring?"))
    for usage in usages:
        typer.echo(_row(usage.id.hex(), usage.place, usage.secrets, usage.sessions, _advice(usage)))
    typer.echo(
        f"Tokens live {settings.access_token_seconds} s: keep a key that long after a server last signed with it."
    )
    raise typer.Exit(1 if any(usage.place is KeyPlace.MISSING for usage in usages) else 0)


@keys.command("rotate")
def keys_rotate() -> None:
    """Re-encrypt all secrets with the current key. Safe beside running servers, and can be repeated."""
    settings = read_settings(database_must_exist=True)
    ring = require_keys(settings)

    async def count(database: Database, *places: KeyPlace) -> int:
        usages = await key_usage(database, ring, settings, utc_now())
        return sum(usage.secrets for usage in usages if usage.place in places)

    async def rotate(database: Database) -> int:
        done, total = 0, await count(database, KeyPlace.SPARE, KeyPlace.DECRYPT_ONLY)
        async for batch in rotate_keys(database, ring):
            done += batch.count
            typer.echo(f"{done} of {quantity(total, 'secret')} re-encrypted")
            for fault in batch.faults:
                typer.echo(fault, err=True)
        return await count(database, KeyPlace.SPARE, KeyPlace.DECRYPT_ONLY, KeyPlace.MISSING)

    if left := run_on_database(settings, rotate):
        typer.echo(f"Secrets still encrypted with another key: {left}. Run `graphql-mfa keys status`.", err=True)
        raise typer.Exit(1)
    typer.echo("All secrets are encrypted with the current key.")


def _row(key: str, place: str, secrets: object, sessions: object, advice: str) -> str:
    return f"{key:8}  {place:12}  {secrets:>8}  {sessions:>8}  {advice}"


def _advice(usage: KeyUsage) -> str:
    if usage.place is KeyPlace.MISSING:
        return "missing: add it again"
    if usage.place is KeyPlace.CURRENT:
        return "no: it encrypts and signs"
    if usage.secrets:
        return "no: run `graphql-mfa keys rotate`"
    if usage.sessions:
        return "no: wait until its tokens expire"
    if usage.place is KeyPlace.DECRYPT_ONLY:
        return "yes"
    return "a new key: no, every server needs it before it is moved to the front; an old key: yes"


@webhooks.command("status")
def webhooks_status() -> None:
    """Print how many events wait and how many were given up, with their last errors. Fails if any was given up."""
    states = run_on_database(read_settings(database_must_exist=True), undelivered)
    if not states:
        typer.echo("Every event is delivered.")
    for state in states:
        typer.echo(f"{state.sink}: {state.waiting} waiting, {state.dead} given up, oldest of {state.oldest}")
        for error, count in state.errors.items():
            typer.echo(f"  {count} failed last with {error}")
    raise typer.Exit(1 if any(state.dead for state in states) else 0)


@webhooks.command("retry")
def webhooks_retry() -> None:
    """Make the events that were given up due again. A running server delivers them."""
    revived = run_on_database(read_settings(database_must_exist=True), lambda database: retry(database, utc_now()))
    typer.echo(f"{quantity(revived, 'event')} {'is' if revived == 1 else 'are'} due again.")
