"""The settings, keys and database of a command. An error in one of them ends the command with a message."""

import asyncio
import logging
import os
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from graphql_mfa.core.keys import KeyRing
from graphql_mfa.environment import environment_warnings, variable_of
from graphql_mfa.flows.keys import load_key_ring
from graphql_mfa.logs import report, report_warning
from graphql_mfa.mfa import open_services
from graphql_mfa.services import Services, utc_now
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import Database, check_url, sqlite_file
from graphql_mfa.store.outages import UnavailableError, UnusableDatabaseError

T = TypeVar("T")

_SQLITE_HEADER = b"SQLite format 3\0"


def read_settings(*, database_must_exist: bool = False) -> Settings:
    """The settings, after a message for each warning about a variable. An error in them ends the command.

    database_must_exist: end the command if there is no SQLite file, before it or a key is created.
    """
    for warning in environment_warnings(Settings):
        report(warning, logging.WARNING)
    with exit_on_wrong_configuration(), warnings.catch_warnings():
        warnings.showwarning = report_warning
        settings = Settings()
        check_url(settings.database_url)
        if file := sqlite_file(settings.database_url):
            _check_database_file(file, must_exist=database_must_exist)
    return settings


def require_keys(settings: Settings) -> KeyRing:
    """Load the key ring, or create it beside an SQLite file. An error in it ends the command."""
    with exit_on_wrong_configuration():
        return load_key_ring(settings)


def run_on_database(settings: Settings, use_case: Callable[[Database], Awaitable[T]]) -> T:
    """Run a use case on a store of this version; an SQLite file is migrated to it. Its errors end the command."""

    async def run() -> T:
        async with connected_database(settings) as database:
            await (database.migrate() if database.embedded else database.require_migrated())
            return await use_case(database)

    return asyncio.run(run())


def run_with_services(use_case: Callable[[Services], Awaitable[T]], *, database_must_exist: bool = True) -> T:
    """Run a use case with its services, on a store of this version. Errors of keys and database end the command."""
    settings = read_settings(database_must_exist=database_must_exist)

    async def run() -> T:
        async with AsyncExitStack() as stack:
            with exit_on_wrong_configuration():
                services = await stack.enter_async_context(open_services(settings, utc_now))
                await services.database.require_migrated()
            with _exit_on_database_errors():
                return await use_case(services)

    return asyncio.run(run())


@asynccontextmanager
async def connected_database(settings: Settings) -> AsyncIterator[Database]:
    """The store at any version, or without tables. Errors of the database end the command."""
    with exit_on_wrong_configuration():
        database = Database(settings.database_url, schema=settings.database_schema)
    try:
        if database.embedded:
            # A key is created before its database, so that a lost key is noticed.
            require_keys(settings)
        with _exit_on_database_errors():
            yield database
    finally:
        await database.close()


@contextmanager
def _exit_on_database_errors() -> Iterator[None]:
    try:
        yield
    except UnusableDatabaseError as error:
        _stop_for_configuration(error)
    except UnavailableError as error:
        _stop(str(error), 1)


@contextmanager
def exit_on_wrong_configuration() -> Iterator[None]:
    """End the command with a message, which repeats no value, instead of a traceback."""
    try:
        yield
    except ValidationError as error:
        _stop_for_configuration("; ".join(_fault(problem) for problem in error.errors()))
    except (ValueError, OSError) as error:
        _stop_for_configuration(error)
    except UnavailableError as error:
        _stop(str(error), 1)


def _check_database_file(file: Path, *, must_exist: bool) -> None:
    if not file.parent.is_dir():
        raise FileNotFoundError(f"No such file or directory: {file.parent}")
    if must_exist and not file.exists():
        raise FileNotFoundError(
            f"There is no database at {file.absolute()}. Run this in the server's folder, or set "
            "GRAPHQL_MFA_DATABASE_URL."
        )
    # SQLite creates other files beside it.
    for path in [file, file.parent] if file.exists() else [file.parent]:
        if not os.access(path, os.W_OK):
            raise PermissionError(
                f"{path.resolve()} can't be written to. Change its permissions, or choose another file in "
                "GRAPHQL_MFA_DATABASE_URL."
            )
    if file.exists():
        with file.open("rb") as stream:
            begin = stream.read(len(_SQLITE_HEADER))
        if begin not in (b"", _SQLITE_HEADER):
            raise ValueError(f"{file} is not an SQLite database.")


def _fault(problem: ErrorDetails) -> str:
    # The rest of `loc` is a place inside the setting's value.
    name = " ".join(variable_of(str(part)) for part in problem["loc"][:1])
    # A validator of this package raises ValueError, with a message that continues the name. Pydantic's are sentences.
    if problem["type"] == "value_error":
        return f"{name} {problem['msg'].removeprefix('Value error, ')}".strip()
    return f"{name}: {problem['msg']}"


def _stop_for_configuration(fault: object) -> NoReturn:
    _stop(f"Wrong configuration: {fault}", 2)


def _stop(message: str, code: int) -> NoReturn:
    report(message)
    sys.exit(code)
