"""PostgreSQL, and what speaks its protocol: one pool of connections."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import create_async_engine

T = TypeVar("T")


class Postgresql:
    """One database."""

    def __init__(self, url: URL) -> None:
        self._writer = create_async_engine(url, hide_parameters=True, pool_pre_ping=True)
        self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run one transaction."""
        async with self._writer.begin() as connection:
            return await connection.run_sync(transaction)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run reads in autocommit mode."""
        async with self._reader.connect() as connection:
            return await connection.run_sync(query)

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
