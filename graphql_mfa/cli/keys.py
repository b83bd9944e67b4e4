"""graphql-mfa keys: rotation of the key ring."""

import asyncio
from collections.abc import Collection

import typer

from graphql_mfa.cli.configuration import opened_database, read_settings, require_keys
from graphql_mfa.core.inputs import quantity
from graphql_mfa.core.keys import KeyRing
from graphql_mfa.flows.keys import KeyPlace, KeyUsage, key_usage, rotate_keys
from graphql_mfa.services import utc_now
from graphql_mfa.settings import Settings

app = typer.Typer(no_args_is_help=True, help="See which keys are in use, and re-encrypt with the current one.")
_OTHERS = {KeyPlace.SPARE, KeyPlace.DECRYPT_ONLY}


@app.command()
def status() -> None:
    """Print the use of each key, and whether it can be removed from the ring. Fails if a key is missing."""
    settings = read_settings()
    ring = require_keys(settings)

    async def run() -> list[KeyUsage]:
        async with opened_database(settings) as database:
            return await key_usage(database, ring, settings, utc_now())

    usages = asyncio.run(run())
    typer.echo(_row("key", "place", "secrets", "sessions", "can it be removed from the ring?"))
    for usage in usages:
        typer.echo(_row(usage.id.hex(), usage.place, usage.secrets, usage.sessions, _advice(usage)))
    typer.echo(
        f"Tokens live {settings.access_token_seconds} s: keep a key that long after a server last signed with it."
    )
    raise typer.Exit(1 if any(usage.place is KeyPlace.MISSING for usage in usages) else 0)


@app.command()
def rotate() -> None:
    """Re-encrypt all secrets with the current key. Safe beside running servers, and can be repeated."""
    settings = read_settings()
    ring = require_keys(settings)
    raise typer.Exit(asyncio.run(_rotate(settings, ring)))


async def _rotate(settings: Settings, ring: KeyRing) -> int:
    async with opened_database(settings) as database:
        usages = await key_usage(database, ring, settings, utc_now())
        done, total = 0, _secrets(usages, _OTHERS)
        async for batch in rotate_keys(database, ring):
            done += batch.count
            typer.echo(f"{done} of {quantity(total, 'secret')} re-encrypted")
            for fault in batch.faults:
                typer.echo(fault, err=True)
        left = _secrets(await key_usage(database, ring, settings, utc_now()), {*_OTHERS, KeyPlace.MISSING})
    if left:
        typer.echo(f"Secrets still under another key: {left}. Run `graphql-mfa keys status`.", err=True)
        return 1
    typer.echo("All secrets are encrypted with the current key.")
    return 0


def _secrets(usages: list[KeyUsage], places: Collection[KeyPlace]) -> int:
    return sum(usage.secrets for usage in usages if usage.place in places)


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
