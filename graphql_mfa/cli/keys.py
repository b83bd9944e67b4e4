"""graphql-mfa keys: for whoever rotates the key ring."""

import asyncio
from collections.abc import Collection

import typer

from graphql_mfa.cli.configuration import demand_keys, opened_database, read_settings
from graphql_mfa.core.keys import KeyRing
from graphql_mfa.core.texts import quantity
from graphql_mfa.flows.keys import KeyPlace, KeyUsage, key_usage, rotate_keys
from graphql_mfa.services import utc_now
from graphql_mfa.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="See what still needs each key of the ring, and move it to the current one."
)
_OTHERS = {KeyPlace.SPARE, KeyPlace.DECRYPT_ONLY}


@app.command()
def status() -> None:
    """Print what still needs each key, and whether it can be taken out of the ring. Fails when a key is missing."""
    settings = read_settings()
    ring = demand_keys(settings)

    async def run() -> list[KeyUsage]:
        async with opened_database(settings) as database:
            return await key_usage(database, ring, settings, utc_now())

    usages = asyncio.run(run())
    typer.echo(_row("key", "place", "secrets", "sessions", "can it be taken out of the ring?"))
    for usage in usages:
        typer.echo(_row(usage.id.hex(), usage.place, usage.secrets, usage.sessions, _advice(usage)))
    typer.echo(
        f"Tokens live {settings.access_token_seconds} s: keep a key for as long after the last server signed with it."
    )
    raise typer.Exit(1 if any(usage.place is KeyPlace.MISSING for usage in usages) else 0)


@app.command()
def rotate() -> None:
    """Seal every secret again with the current key. Safe beside running servers, and when it is run again."""
    settings = read_settings()
    ring = demand_keys(settings)
    raise typer.Exit(asyncio.run(_rotate(settings, ring)))


async def _rotate(settings: Settings, ring: KeyRing) -> int:
    async with opened_database(settings) as database:
        usages = await key_usage(database, ring, settings, utc_now())
        done, total = 0, _secrets(usages, _OTHERS)
        async for batch in rotate_keys(database, ring):
            done += batch.count
            typer.echo(f"{done} of {quantity(total, 'secret')} sealed again")
            for fault in batch.faults:
                typer.echo(fault, err=True)
        left = _secrets(await key_usage(database, ring, settings, utc_now()), {*_OTHERS, KeyPlace.MISSING})
    if left:
        typer.echo(f"Secrets still under another key: {left}. See `graphql-mfa keys status`.", err=True)
        return 1
    typer.echo("Every secret is sealed with the current key.")
    return 0


def _secrets(usages: list[KeyUsage], places: Collection[KeyPlace]) -> int:
    return sum(usage.secrets for usage in usages if usage.place in places)


def _row(key: str, place: str, secrets: object, sessions: object, advice: str) -> str:
    return f"{key:8}  {place:12}  {secrets:>8}  {sessions:>8}  {advice}"


def _advice(usage: KeyUsage) -> str:
    if usage.place is KeyPlace.MISSING:
        return "it is not there: put it back"
    if usage.place is KeyPlace.CURRENT:
        return "no: it writes and signs"
    if usage.secrets:
        return "no: run `graphql-mfa keys rotate`"
    if usage.sessions:
        return "no: wait until its tokens expire"
    if usage.place is KeyPlace.DECRYPT_ONLY:
        return "yes"
    return "a new key: no, every server needs it before it is moved to the front; an old key: yes"
