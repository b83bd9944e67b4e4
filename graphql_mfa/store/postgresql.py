"""PostgreSQL, and what speaks its protocol: one pool of connections."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import asyncpg
from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import create_async_engine

T = TypeVar("T")

# What a URL may say after its question mark: the driver's options, and one of SQLAlchemy's.
OPTIONS = {*inspect.signature(asyncpg.connect).parameters, "prepared_statement_cache_size"}

# Longest waits, in seconds: a request has to end even if the server does not answer any more.
_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 10
_POOL_SECONDS = 5
_CLOSE_SECONDS = 5
_CLOSE_LOOK_SECONDS = 0.01


class Postgresql:
    """One database."""

    def __init__(self, url: URL, pool_size: int) -> None:
        self._url = url
        self._writer = create_async_engine(
            url,
            hide_parameters=True,
            # Rows that are held are the locks. A stricter level, which a database may have for a default, undoes those
            # who waited for a row more often than they can be run again.
            isolation_level="READ COMMITTED",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_SECONDS,
            # A connection that a restart or a firewall broke is replaced before a request gets it.
            pool_pre_ping=True,
            connect_args={"timeout": _CONNECT_SECONDS, "command_timeout": _STATEMENT_SECONDS},
        )
        self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run one transaction."""
        async with self._writer.begin() as connection:
            return await connection.run_sync(transaction)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run reads in autocommit mode."""
        async with self._reader.connect() as connection:
            return await connection.run_sync(query)

    async def change_schema(self, change: Callable[[Connection], None]) -> None:
        """Run one transaction that may take as long as it has to."""
        engine = create_async_engine(self._url, hide_parameters=True)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(change)
        finally:
            await engine.dispose()

    async def close(self) -> None:
        """Close every connection; those of requests that were given up close themselves, if they are let."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                # The pool tells nobody when one comes back.
                while self._writer.pool.checkedout():  # type: ignore[attr-defined]  # noqa: ASYNC110
                    await asyncio.sleep(_CLOSE_LOOK_SECONDS)
        await self._writer.dispose()
