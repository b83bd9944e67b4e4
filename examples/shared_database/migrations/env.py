"""Alembic's environment for the application's tables; graphql_mfa migrates its own, and has its own version table."""

import asyncio

from alembic import context
from models import Base, engine
from sqlalchemy import Connection

import graphql_mfa


def migrate(connection: Connection) -> None:
    # Without include_object, autogenerate would drop the tables of graphql_mfa.
    context.configure(connection=connection, target_metadata=Base.metadata, include_object=graphql_mfa.include_object)
    with context.begin_transaction():
        context.run_migrations()


async def run() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(run())
