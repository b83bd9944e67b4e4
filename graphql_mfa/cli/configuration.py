"""The settings, keys and store of a command; what is wrong with them ends it with a message."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NoReturn

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.key_file import load_key_ring
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import Database, sqlite_file


def read_settings() -> Settings:
    """The settings; what is wrong with them ends the command."""
    with wrong_configuration_ends_it():
        settings = Settings()
        file = sqlite_file(settings.database_url)
        if file and not file.parent.is_dir():
            raise FileNotFoundError(f"No such file or directory: {file.parent}")
    _warn_of_unknownread_settings()
    return settings


def demand_keys(settings: Settings) -> KeyRing:
    """Look at the key ring now, and make it where one is made; what is wrong with it ends the command."""
    with wrong_configuration_ends_it():
        return load_key_ring(settings)


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[Database]:
    """The store of this version; where it is not, the command ends."""
    database = Database(settings.database_url)
    try:
        if settings.embedded:
            # A key is made before its database, so that a lost one is noticed.
            demand_keys(settings)
            await database.migrate()
        elif not await database.migrated():
            typer.echo("The database is out of reach, or not migrated.", err=True)
            raise typer.Exit(1)
        yield database
    finally:
        await database.close()


@contextmanager
def wrong_configuration_ends_it() -> Iterator[None]:
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


def _warn_of_unknownread_settings() -> None:
    known = {f"GRAPHQL_MFA_{name}".upper() for name in Settings.model_fields}
    for name in sorted(name for name in os.environ if name.startswith("GRAPHQL_MFA_") and name not in known):
        typer.echo(f"There is no setting {name}: it is ignored.", err=True)


def _stop(message: str) -> NoReturn:
    typer.echo(f"Wrong configuration: {message}", err=True)
    sys.exit(2)
