"""Transactions that conflict on PostgreSQL are retried a few times."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, make_url, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from graphql_mfa.store.database import Database
from graphql_mfa.store.models import UserRow
from tests.conftest import on_each_engine, postgresql_only
from tests.postgresql import PostgresqlServer
from tests.store import rows

pytestmark = on_each_engine


def count_failure(connection: Connection, username: str) -> None:
    """One statement that locks the account's row until the transaction ends."""
    counted = UserRow.otp_failures + 1
    connection.execute(update(UserRow).where(UserRow.username == username).values(otp_failures=counted))


def failures(connection: Connection) -> dict[str, int]:
    """The counters of each account."""
    return {
        row.username: row.otp_failures for row in connection.execute(select(UserRow.username, UserRow.otp_failures))
    }


@postgresql_only
async def test_two_deadlocked_transactions_both_succeed(database: Database, other_process: Database) -> None:
    names = ["alice", "bob"]
    await database.write(lambda connection: [rows.add_user(connection, name) for name in names])
    tries: list[str] = []
    both_hold_one = asyncio.Barrier(2)

    def in_order(first: str, second: str) -> Callable[[Connection], None]:
        def count_both(connection: Connection) -> None:
            connection.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
            tries.append(first)
            count_failure(connection, first)
            if tries.count(first) == 1:
                await_only(both_hold_one.wait())
            count_failure(connection, second)

        return count_both

    await asyncio.gather(database.write(in_order("alice", "bob")), other_process.write(in_order("bob", "alice")))

    assert await database.read(failures) == {"alice": 2, "bob": 2}
    assert len(tries) == 3  # PostgreSQL undid one of the two


@postgresql_only
async def test_a_transaction_that_always_conflicts_ends_with_an_error(
    database: Database, other_process: Database
) -> None:
    await database.write(rows.add_user)
    tries: list[dict[str, int]] = []

    def overtaken(connection: Connection) -> None:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        tries.append(failures(connection))
        await_only(other_process.write(lambda other: count_failure(other, "alice")))
        count_failure(connection, "alice")

    with pytest.raises(DBAPIError, match="could not serialize access"):
        await database.write(overtaken)

    assert tries == [{"alice": number} for number in range(5)]
    assert await database.read(failures) == {"alice": 5}


@postgresql_only
async def test_a_stricter_default_isolation_level_is_overridden(postgresql: PostgresqlServer) -> None:
    """Where it is stricter, far more transactions would be undone than can be run again."""
    url = await asyncio.to_thread(postgresql.empty_database)
    stricter = f"ALTER DATABASE {make_url(url).database} SET default_transaction_isolation = 'serializable'"
    await asyncio.to_thread(postgresql.execute, "template1", stricter)
    database = Database(url)
    level = text("SHOW transaction_isolation")
    assert await database.write(lambda connection: connection.scalar(level)) == "read committed"
    await database.close()
