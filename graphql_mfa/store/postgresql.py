"""PostgreSQL: the options of a database URL, and transactions with timeouts."""

import asyncio
import os
import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from graphql_mfa.store.outages import UnsupportedDatabaseError

T = TypeVar("T")

_ADDRESS = ("host", "port")  # can be repeated
_TEXTS = ("user", "password", "passfile", "database", "krbsrvname")
_COUNTS = ("prepared_statement_cache_size", "statement_cache_size")
_WORDS = {
    "ssl": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "primary", "read-write"),
}
_OPTIONS = (*_WORDS, "sslrootcert", *_ADDRESS, *_TEXTS, *_COUNTS)
_LAST_PORT = 65_535

_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 10
_POOL_SECONDS = 5
_CLOSE_SECONDS = 5
_CLOSE_POLL_SECONDS = 0.01

_CONFLICTS = ("40001", "40P01")  # serialization_failure, deadlock_detected
_RETRY_SECONDS = (0.02, 0.04, 0.08, 0.16)  # the longest pause before each retry


def parse_options(url: URL) -> dict[str, Any]:
    """The options of a URL as arguments of asyncpg. Raises UnsupportedDatabaseError."""
    if "@" in f"{url.host} {url.database}":
        raise UnsupportedDatabaseError("In the database URL, write @ in the user name or the password as %40.")
    if not url.query.keys() <= {*_OPTIONS}:
        raise UnsupportedDatabaseError(
            f"The database URL has an option besides {', '.join(_OPTIONS)}. Write ssl= for sslmode=, and set "
            "parameters of the session, such as application_name, with ALTER ROLE … SET."
        )
    options: dict[str, Any] = {}
    for name, value in url.query.items():
        if name in _ADDRESS:
            continue
        if not isinstance(value, str):
            raise UnsupportedDatabaseError(f"The database URL has the option {name} twice.")
        if name in _COUNTS and not (value.isascii() and value.isdecimal()):
            raise UnsupportedDatabaseError(f"In the database URL, {name} must be a number, 0 or more.")
        if value not in _WORDS.get(name, (value,)):
            raise UnsupportedDatabaseError(f"In the database URL, {name} must be one of {', '.join(_WORDS[name])}.")
        options[name] = int(value) if name in _COUNTS else value
    _check_address(url)
    _check_environment()
    return options | _tls(options.get("ssl"), options.pop("sslrootcert", None))


def _check_address(url: URL) -> None:
    try:
        arguments = url.get_dialect()().create_connect_args(url)[1]
    except (ArgumentError, ValueError):
        raise UnsupportedDatabaseError(
            "In the database URL, each host needs its port: ?host=a:5432&host=b:5432."
        ) from None
    hosts, ports = (_listed(arguments.get(name)) for name in _ADDRESS)
    if not all(0 < port <= _LAST_PORT for port in ports):
        raise UnsupportedDatabaseError(f"In the database URL, the port must be from 1 to {_LAST_PORT}.")
    try:
        for host in hosts:
            if not host.startswith("/"):  # the folder of a socket
                host.encode("idna")
    except UnicodeError:
        raise UnsupportedDatabaseError("In the database URL, the host is not a host name.") from None


def _check_environment() -> None:
    """Check the libpq variables with whose invalid values asyncpg fails only when it connects."""
    for name, variable in (("ssl", "PGSSLMODE"), ("target_session_attrs", "PGTARGETSESSIONATTRS")):
        if os.environ.get(variable, _WORDS[name][0]) not in _WORDS[name]:
            raise UnsupportedDatabaseError(f"{variable} must be one of {', '.join(_WORDS[name])}.")
    if not all(port.isdecimal() for port in os.environ.get("PGPORT", "5432").split(",")):
        raise UnsupportedDatabaseError("PGPORT must be a number.")


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [] if found is None else [found]


def _tls(mode: str | None, authorities: str | None) -> dict[str, ssl.SSLContext]:
    """The TLS context of the modes that verify, for which asyncpg would load only the authorities of ~/.postgresql."""
    mode = mode or os.environ.get("PGSSLMODE")
    if mode not in {"verify-ca", "verify-full"}:
        if authorities:
            raise UnsupportedDatabaseError("In the database URL, sslrootcert needs ssl=verify-full or ssl=verify-ca.")
        return {}
    authorities = authorities or os.environ.get("PGSSLROOTCERT")
    certificate, key = os.environ.get("PGSSLCERT"), os.environ.get("PGSSLKEY")
    try:
        context = ssl.create_default_context(cafile=None if authorities == "system" else authorities)
        if certificate:
            context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        files = ", ".join(filter(None, (authorities, certificate, key)))
        raise UnsupportedDatabaseError(
            f"A certificate file for the database can't be read ({files}): {error.strerror}."
        ) from None
    context.check_hostname = mode == "verify-full"
    return {"ssl": context}


def _create(url: URL, connect_args: dict[str, Any] | None = None, **options: Any) -> AsyncEngine:
    address = url.difference_update_query([name for name in url.query if name not in _ADDRESS])
    arguments = parse_options(url) | (connect_args or {})
    return create_async_engine(address, hide_parameters=True, connect_args=arguments, **options)


class Postgresql:
    """Runs transactions in READ COMMITTED. Cancelling a caller closes its connection."""

    def __init__(self, where: URL | AsyncEngine, pool_size: int, schema: str | None) -> None:
        """where: a host's engine stays open and has its own pool. schema: None is the search path."""
        self._url = where if isinstance(where, URL) else None
        self._options = {"schema_translate_map": {None: schema}} if schema else {}
        if isinstance(where, URL):
            engine = _create(
                where,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=_POOL_SECONDS,
                pool_pre_ping=True,  # replaces connections that a restart or a firewall broke
                connect_args={"timeout": _CONNECT_SECONDS, "command_timeout": _STATEMENT_SECONDS},
            )
        else:
            engine = where
        # Row locks serialise transactions. Under a stricter level, which may be the database's default, transactions
        # that waited for a row fail more often than they are retried.
        self.engine = engine.execution_options(isolation_level="READ COMMITTED", **self._options)
        self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction, and retry it after serialization failures and deadlocks."""
        for pause in _RETRY_SECONDS:
            try:
                return await _run(self.engine, transaction)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _CONFLICTS:
                    raise
            # Jitter keeps transactions that conflicted apart.
            await asyncio.sleep(pause * random.random())  # noqa: S311
        return await _run(self.engine, transaction)

    async def read(self, query: Callable[[Connection], T]) -> T:
        async with self._reader.connect() as connection:
            return await connection.run_sync(query)

    async def change_schema(self, change: Callable[[Connection], T]) -> T:
        """Run a migration without timeouts; on a host's engine, with that engine's."""
        if self._url is None:
            return await _run(self.engine, change)
        engine = _create(self._url, execution_options=self._options)
        try:
            return await _run(engine, change)
        finally:
            await engine.dispose()

    async def close(self) -> None:
        """Wait for the connections of cancelled callers to close, then close the others."""
        if self._url is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                # The pool has no event for returned connections.
                while self.engine.pool.checkedout():  # type: ignore[attr-defined]  # noqa: ASYNC110
                    await asyncio.sleep(_CLOSE_POLL_SECONDS)
        await self.engine.dispose()


async def _run(engine: AsyncEngine, transaction: Callable[[Connection], T]) -> T:
    async with engine.begin() as connection:
        return await connection.run_sync(transaction)
