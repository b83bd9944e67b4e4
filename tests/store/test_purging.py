"""Which rows are deleted, and which stay."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, func, insert, select

from graphql_mfa.store import purging, recovery_codes
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import (
    Base,
    ChallengeRow,
    KnownAddressRow,
    OtpFailureRow,
    ReservedNameRow,
    SecurityEventRow,
    ThrottleRow,
    UsedCeremonyRow,
    UsedRefreshTokenRow,
)
from tests.conftest import on_each_engine
from tests.store import rows
from tests.store.rows import LATER, NOW

pytestmark = on_each_engine

SECOND = timedelta(seconds=1)
WINDOW = timedelta(days=30)
RETENTION = timedelta(days=365)
ADDRESS_RETENTION = timedelta(days=90)
OUTBOX_RETENTION = timedelta(days=33)
CEREMONY_RETENTION = timedelta(hours=1)


async def purge(database: Database, *, rows: int = 100) -> dict[str, int]:
    """One batch of each table."""
    batches = purging.batches(
        NOW,
        rows=rows,
        otp_failure_window=WINDOW,
        event_retention=RETENTION,
        known_address_retention=ADDRESS_RETENTION,
        outbox_retention=OUTBOX_RETENTION,
        ceremony_retention=CEREMONY_RETENTION,
    )
    return {table: await database.write(batch) for table, batch in batches.items()}


def sizes(connection: Connection) -> dict[str, int]:
    """Rows of each table that has some, by its name without the prefix."""
    tables = Base.metadata.tables.values()
    counted = {
        table.name.removeprefix("mfa_"): connection.scalar(select(func.count()).select_from(table)) or 0
        for table in tables
    }
    return +Counter(counted)


@pytest.mark.parametrize(("expires_at", "kept"), [(NOW - SECOND, 0), (NOW, 0), (NOW + SECOND, 1)])
async def test_only_expired_rows_are_purged(database: Database, expires_at: datetime, kept: int) -> None:
    def fill(connection: Connection) -> None:
        user = rows.add_user(connection)
        rows.add_challenge(connection, user, expires_at=expires_at)
        session = rows.add_session(connection, user, expires_at=expires_at)
        used = {"digest": b"used", "session_id": session, "generation": 0}
        connection.execute(insert(UsedRefreshTokenRow).values(used))
        connection.execute(insert(OtpFailureRow).values(id=uuid4(), user_id=user, at=expires_at - WINDOW))
        connection.execute(insert(ThrottleRow).values(key=b"idle", attempts=5, window_ends_at=expires_at))
        event = {"id": uuid4(), "user_id": user, "kind": "IMPORTED_BY_OPERATOR", "at": expires_at - RETENTION}
        connection.execute(insert(SecurityEventRow).values(event))
        known = {"user_id": user, "address": "10.0.0.1", "last_used_at": expires_at - ADDRESS_RETENTION}
        connection.execute(insert(KnownAddressRow).values(known))
        rows.add_message(connection, since=expires_at - OUTBOX_RETENTION, due_at=None)
        connection.execute(insert(ReservedNameRow).values(digest=b"reserved", ends_at=expires_at))
        answered = {"digest": b"answered", "expires_at": expires_at - CEREMONY_RETENTION}
        connection.execute(insert(UsedCeremonyRow).values(answered))
        rows.add_passkey(connection, user)
        abandoned = rows.add_user(connection, "abandoned", enrollment_expires_at=expires_at)
        rows.add_device(connection, abandoned)
        rows.add_device(connection, user, expires_at=expires_at)
        rows.add_device(connection, user, confirmed_at=NOW)

    await database.write(fill)
    before = await database.read(sizes)
    gone = 1 - kept
    purged = (
        *("challenges", "sessions", "users", "otp_failures", "throttles", "security_events", "outbox"),
        *("known_addresses", "reserved_names", "used_ceremonies"),
    )
    assert await purge(database) == dict.fromkeys((*purged, "totp_devices"), gone) | {"deletions": 0}
    tables = dict.fromkeys((*purged, "used_refresh_tokens"), gone) | {"totp_devices": 2 * gone}
    assert await database.read(sizes) == +(Counter(before) - Counter(tables))


async def test_all_rows_of_an_abandoned_account_are_purged_with_it(database: Database) -> None:
    def fill(connection: Connection, **columns: Any) -> None:
        user = rows.add_user(connection, **columns)
        rows.add_device(connection, user)
        rows.add_passkey(connection, user)
        rows.add_challenge(connection, user)
        session = rows.add_session(connection, user)
        connection.execute(insert(UsedRefreshTokenRow).values(digest=session.bytes, session_id=session, generation=0))
        connection.execute(insert(OtpFailureRow).values(id=uuid4(), user_id=user, at=NOW))
        connection.execute(insert(KnownAddressRow).values(user_id=user, address="10.0.0.1", last_used_at=NOW))
        recovery_codes.replace(connection, user, [b"one", b"two"])

    await database.write(fill)
    one_account = await database.read(sizes)
    assert one_account.keys() == {name.removeprefix("mfa_") for name in Base.metadata.tables} - {
        "throttles",
        "security_events",
        "outbox",
        "reserved_names",
        "deletions",
        "used_ceremonies",
    }
    await database.write(lambda connection: fill(connection, username="abandoned", enrollment_expires_at=NOW))
    assert (await purge(database))["users"] == 1
    assert await database.read(sizes) == one_account


async def test_a_throttle_with_a_pending_wait_is_kept(database: Database) -> None:
    row = {"attempts": 5, "window_ends_at": NOW - SECOND}
    blocked = [{"key": b"waits", "blocked_until": LATER}, {"key": b"waited", "blocked_until": NOW}]
    await database.write(lambda connection: connection.execute(insert(ThrottleRow), [row | block for block in blocked]))
    assert (await purge(database))["throttles"] == 1
    assert await database.read(lambda connection: connection.scalar(select(ThrottleRow.key))) == b"waits"


async def test_a_batch_deletes_no_more_than_its_size(database: Database) -> None:
    def fill(connection: Connection) -> None:
        user = rows.add_user(connection)
        for _ in range(5):
            rows.add_challenge(connection, user, expires_at=NOW)

    await database.write(fill)
    assert [(await purge(database, rows=2))["challenges"] for _ in range(4)] == [2, 2, 1, 0]
    assert (
        await database.read(lambda connection: connection.scalar(select(func.count()).select_from(ChallengeRow))) == 0
    )
