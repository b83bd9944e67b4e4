"""Key ids of encrypted secrets: found without a scan, and updated only if unchanged meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, event, select

from graphql_mfa.store import keys, totp
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import TotpDeviceRow
from tests.conftest import on_each_engine, sqlite_only
from tests.store import rows
from tests.store.rows import LATER, NOW

pytestmark = on_each_engine

OLD, NEW = b"key1 and the rest", b"key2 and the rest"


def add_devices(connection: Connection, *keys: bytes) -> list[UUID]:
    user = rows.add_user(connection)
    return [rows.add_device(connection, user, sealed_secret=key + b" and the rest", key_id=key) for key in keys]


def seals(connection: Connection) -> dict[UUID, tuple[bytes, bytes]]:
    devices = connection.execute(select(TotpDeviceRow.id, TotpDeviceRow.sealed_secret, TotpDeviceRow.key_id))
    return {row.id: (row.sealed_secret, row.key_id) for row in devices}


@pytest.mark.parametrize(
    ("sealed_again", "stored"), [(None, (OLD, b"key1")), (NEW, (NEW, b"key2"))], ids=["kept", "sealed again"]
)
async def test_claiming_a_step_updates_ciphertext_and_key_id_together(
    database: Database, sealed_again: bytes | None, stored: tuple[bytes, bytes]
) -> None:
    def claim(connection: Connection) -> dict[UUID, tuple[bytes, bytes]]:
        mine, _ = add_devices(connection, b"key1", b"key1")
        assert totp.claim_step(connection, mine, 100, NOW, sealed_again)
        assert not totp.claim_step(connection, mine, 100, NOW, b"key3 comes too late")
        device = connection.execute(select(TotpDeviceRow).where(TotpDeviceRow.id == mine)).one()
        assert (device.last_step, device.confirmed_at) == (100, NOW)
        return {mine: stored} | {device_id: seal for device_id, seal in seals(connection).items() if device_id != mine}

    expected = await database.write(claim)
    assert await database.read(seals) == expected
    assert sorted(expected.values()) == sorted([stored, (OLD, b"key1")])


async def test_a_ciphertext_is_replaced_only_if_unchanged_since_it_was_read(database: Database) -> None:
    def race(connection: Connection) -> tuple[UUID, UUID]:
        first, second = add_devices(connection, b"key1", b"key1")
        read = keys.sealed_by_key(connection, b"key1", after=UUID(int=0), rows=10)
        totp.claim_step(connection, second, 100, NOW, b"key3 was faster")
        keys.re_encrypt(connection, [(device, NEW) for device in read])
        return first, second

    first, second = await database.write(race)
    assert await database.read(seals) == {first: (NEW, b"key2"), second: (b"key3 was faster", b"key3")}


async def test_the_devices_of_a_key_are_read_in_pages(database: Database) -> None:
    def pages(connection: Connection) -> tuple[list[UUID], list[list[UUID]]]:
        added = add_devices(connection, b"key1", b"key2", b"key1", b"key1", b"key2", b"key1", b"key1")
        after, found = UUID(int=0), []
        while page := keys.sealed_by_key(connection, b"key1", after=after, rows=2):
            after = page[-1].id
            found.append([device.id for device in page])
        return [device_id for number, device_id in enumerate(added) if number not in {1, 4}], found

    added, found = await database.write(pages)
    assert [len(page) for page in found] == [2, 2, 1]
    assert [device_id for page in found for device_id in page] == sorted(added)


async def test_the_keys_in_use_are_listed_with_their_counts(database: Database) -> None:
    assert await database.read(keys.sealing_keys) == []
    ids = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"key1", b"key2", b"key1"]
    await database.write(lambda connection: add_devices(connection, *ids))
    assert await database.read(keys.sealing_keys) == [b"\0\0\0\0", b"key1", b"key2", b"\xff\xff\xff\xff"]
    assert await database.read(keys.count_secrets) == {key: ids.count(key) for key in ids}


@sqlite_only  # PostgreSQL scans a table as small as that
@pytest.mark.parametrize(
    "query",
    [keys.sealing_keys, lambda connection: keys.sealed_by_key(connection, b"key1", after=UUID(int=0), rows=2)],
    ids=["keys", "devices of a key"],
)
async def test_key_queries_use_an_index(database: Database, query: Callable[[Connection], object]) -> None:
    await database.write(lambda connection: add_devices(connection, b"key1"))

    def plans(connection: Connection) -> list[str]:
        ran: list[tuple[str, tuple[object, ...]]] = []

        def remember(_: object, __: object, statement: str, parameters: tuple[object, ...], *___: object) -> None:
            ran.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", remember)
        query(connection)
        event.remove(connection, "before_cursor_execute", remember)
        return [
            row.detail
            for statement, parameters in ran
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    steps = await database.read(plans)
    assert steps
    assert [step for step in steps if "ix_mfa_totp_devices_key_id_id (key_id" not in step] == []


async def test_a_session_needs_its_key_while_it_is_alive_and_its_tokens_are_recent(database: Database) -> None:
    now, since, retries_since = (NOW + timedelta(minutes=minutes) for minutes in (20, 10, 5))

    def fill(connection: Connection) -> None:
        user = rows.add_user(connection)
        rows.add_session(connection, user, refreshed_at=since + timedelta(seconds=1))
        rows.add_session(connection, user, refreshed_at=since)
        rows.add_session(connection, user, refreshed_at=since, retry_digest=b"", key_id=b"key3")
        rows.add_session(connection, user, refreshed_at=retries_since, retry_digest=b"")
        rows.add_session(connection, user, refreshed_at=now, expires_at=now)
        for key in (b"key1", b"key2"):
            rows.add_session(connection, user, refreshed_at=now, key_id=key, ends_at=LATER)

    await database.write(fill)
    counts = await database.read(lambda connection: keys.count_sessions(connection, now, since, retries_since))
    assert counts == {b"key1": 2, b"key2": 1, b"key3": 1}
