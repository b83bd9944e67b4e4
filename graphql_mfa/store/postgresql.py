"""PostgreSQL, and databases that speak its protocol."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import asyncpg
from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

T = TypeVar("T")

# What a URL may say after its question mark: the driver's options, and one of SQLAlchemy's.
OPTIONS = {*inspect.signature(asyncpg.connect).parameters, "prepared_statement_cache_size"}

# Longest waits, in seconds: a request has to end even if the server does not answer any more.
_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 10
_POOL_SECONDS = 5
_CLOSE_SECONDS = 5
_CLOSE_LOOK_SECONDS = 0.01


def engine_for(url: URL, pool_size: int) -> AsyncEngine:
    """An engine on which every wait has an end."""
    return create_async_engine(
        url,
        hide_parameters=True,
        # Rows that are locked are the locks. A stricter level, which a database may have for a default, aborts
        # transactions that waited for a row more often than they can be run again.
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        # A connection that a restart or a firewall broke is replaced before a request gets it.
        pool_pre_ping=True,
        connect_args={"timeout": _CONNECT_SECONDS, "command_timeout": _STATEMENT_SECONDS},
    )


class Postgresql:
    """Transactions on an engine in READ COMMITTED. A caller that is cancelled takes its connection with it."""

    def __init__(self, engine: AsyncEngine, *, owned: bool, schema: str | None) -> None:
        """owned: whether `close` closes the engine too. schema: where the tables are; None is the search path."""
        self._options = {"schema_translate_map": {None: schema}} if schema else {}
        self.engine = engine.execution_options(**self._options)
        self._owned = owned
        self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run one transaction."""
        async with self.engine.begin() as connection:
            return await connection.run_sync(transaction)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run reads in autocommit mode."""
        async with self._reader.connect() as connection:
            return await connection.run_sync(query)

    async def change_schema(self, change: Callable[[Connection], None]) -> None:
        """Run one transaction that may take as long as it has to; on a host's engine, as long as that one allows."""
        if not self._owned:
            await self.write(change)
            return
        engine = create_async_engine(self.engine.url, hide_parameters=True, execution_options=self._options)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(change)
        finally:
            await engine.dispose()

    async def close(self) -> None:
        """Close every connection, those of cancelled callers included, which close by themselves."""
        if not self._owned:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                # The pool has no event for the return of a connection.
                while self.engine.pool.checkedout():  # type: ignore[attr-defined]  # noqa: ASYNC110
                    await asyncio.sleep(_CLOSE_LOOK_SECONDS)
        await self.engine.dispose()
