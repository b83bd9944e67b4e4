"""Re-encryption with the current key: resumable, safe in parallel, and it skips secrets that can't be opened."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, select, update

from graphql_mfa.core.keys import Key, KeyRing
from graphql_mfa.flows import keys as rotation
from graphql_mfa.flows.keys import ReEncrypted, rotate_keys
from graphql_mfa.flows.totp import seal_secret, secret_of
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import TotpDeviceRow
from graphql_mfa.store.totp import StoredDevice
from tests.conftest import on_each_engine
from tests.store import rows

pytestmark = on_each_engine

NEW, OLD, LEAKED, LOST = (Key(name.ljust(32)) for name in (b"new", b"old", b"leaked", b"lost"))
RING = KeyRing([NEW, OLD, Key(LEAKED.material, decrypt_only=True)])
Stored = dict[UUID, tuple[bytes, bytes]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 3)


async def fill(database: Database, *keys: Key) -> list[UUID]:
    """A device for each key, whose secret is the device's id."""

    def add(connection: Connection) -> list[UUID]:
        user, ids = rows.add_user(connection), [uuid4() for _ in keys]
        for device_id, key in zip(ids, keys, strict=True):
            sealed = seal_secret(KeyRing([key]), device_id, str(device_id))
            rows.add_device(connection, user, id=device_id, sealed_secret=sealed, key_id=key.id)
        return ids

    return await database.write(add)


async def stored(database: Database) -> Stored:
    def read(connection: Connection) -> Stored:
        devices = connection.execute(select(TotpDeviceRow.id, TotpDeviceRow.sealed_secret, TotpDeviceRow.key_id))
        return {row.id: (row.sealed_secret, row.key_id) for row in devices}

    return await database.read(read)


def opens(devices: Stored, ring: KeyRing) -> bool:
    """Whether the ring opens each of them to its own secret."""
    return all(
        secret_of(ring, StoredDevice(device_id, sealed, None)) == str(device_id)
        for device_id, (sealed, _) in devices.items()
    )


async def rotate(database: Database, ring: KeyRing = RING) -> list[ReEncrypted]:
    return [batch async for batch in rotate_keys(database, ring)]


async def test_after_rotation_the_current_key_alone_opens_everything(database: Database) -> None:
    kept, *_ = await fill(database, NEW, *[OLD] * 5, LEAKED)
    before = await stored(database)
    assert sum(batch.count for batch in await rotate(database)) == 6
    after = await stored(database)
    assert opens(after, KeyRing([NEW]))
    assert {key for _, key in after.values()} == {NEW.id}
    assert after[kept] == before[kept]
    assert await rotate(database) == []


async def test_an_interrupted_rotation_can_be_continued(database: Database) -> None:
    await fill(database, *[OLD] * 8)
    batches = rotate_keys(database, RING)
    assert (await anext(batches)).count == 3
    interrupted = await stored(database)
    assert sorted(key for _, key in interrupted.values()) == sorted([NEW.id] * 3 + [OLD.id] * 5)
    assert opens(interrupted, RING)
    assert sum(batch.count for batch in await rotate(database)) == 5
    after = await stored(database)
    assert opens(after, KeyRing([NEW]))
    assert {
        device_id: seal for device_id, seal in after.items() if interrupted[device_id][1] == NEW.id
    }.items() <= interrupted.items()


async def test_parallel_rotations_lose_nothing(database: Database) -> None:
    await fill(database, *[OLD] * 20)
    await asyncio.gather(*(rotate(database) for _ in range(4)))
    assert opens(await stored(database), KeyRing([NEW]))


async def test_a_broken_secret_is_reported_and_the_others_are_re_encrypted(database: Database) -> None:
    ids = await fill(database, *[OLD] * 8)
    broken = set(sorted(ids)[:4])  # a whole batch, and one more
    damage = update(TotpDeviceRow).where(TotpDeviceRow.id.in_(broken)).values(sealed_secret=OLD.id + bytes(60))
    await database.write(lambda connection: connection.execute(damage))
    batches = await rotate(database)
    faults = [fault for batch in batches for fault in batch.faults]
    assert sorted(faults) == sorted(
        f"totp_devices.sealed_secret:{device_id} was altered, or encrypted for another row." for device_id in broken
    )
    assert sum(batch.count for batch in batches) == 4
    after = await stored(database)
    assert {device_id for device_id, (_, key) in after.items() if key == OLD.id} == broken
    assert {after[device_id][0] for device_id in broken} == {OLD.id + bytes(60)}
    assert opens({device_id: seal for device_id, seal in after.items() if device_id not in broken}, KeyRing([NEW]))


async def test_secrets_of_a_missing_key_are_left_until_the_key_is_back(database: Database) -> None:
    await fill(database, LOST, OLD)
    before = await stored(database)
    assert sum(batch.count for batch in await rotate(database)) == 1
    after = await stored(database)
    assert {seal for seal in after.values() if seal[1] == LOST.id} <= set(before.values())
    await rotate(database, KeyRing([NEW, LOST]))
    assert opens(await stored(database), KeyRing([NEW]))
