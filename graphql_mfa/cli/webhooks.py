"""graphql-mfa webhooks: security events that were not delivered."""

import asyncio

import typer

from graphql_mfa.cli.configuration import opened_database, read_settings
from graphql_mfa.core.inputs import quantity
from graphql_mfa.flows.operators import retry as retry_all
from graphql_mfa.flows.operators import undelivered
from graphql_mfa.services import utc_now
from graphql_mfa.store.outbox import SinkState

app = typer.Typer(no_args_is_help=True, help="Show undelivered security events, and retry those that were given up.")


@app.command()
def status() -> None:
    """Print how many events wait and how many were given up, with their last errors. Fails if any was given up."""
    settings = read_settings()

    async def run() -> list[SinkState]:
        async with opened_database(settings) as database:
            return await undelivered(database)

    states = asyncio.run(run())
    if not states:
        typer.echo("Every event is delivered.")
    for state in states:
        typer.echo(f"{state.sink}: {state.waiting} waiting, {state.dead} given up, oldest of {state.oldest}")
        for error, count in state.errors.items():
            typer.echo(f"  {count} failed last with {error}")
    raise typer.Exit(1 if any(state.dead for state in states) else 0)


@app.command()
def retry() -> None:
    """Make the events that were given up due again. A running server delivers them."""
    settings = read_settings()

    async def run() -> int:
        async with opened_database(settings) as database:
            return await retry_all(database, utc_now())

    revived = asyncio.run(run())
    typer.echo(f"{quantity(revived, 'event')} {'is' if revived == 1 else 'are'} due again.")
