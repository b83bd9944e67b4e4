"""Seal what other keys of the ring sealed again with the current one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.core.sealing import SealBrokenError
from graphql_mfa.flows.enrollment import seal_secret, secret_of
from graphql_mfa.store import totp_devices
from graphql_mfa.store.database import Database
from graphql_mfa.store.totp_devices import StoredDevice

BATCH_ROWS = 500


@dataclass(frozen=True)
class SealedAgain:
    """A batch that is done: how many secrets moved to the current key, and what is wrong with those that can't."""

    count: int
    faults: list[str]


async def rotate_keys(database: Database, ring: KeyRing) -> AsyncIterator[SealedAgain]:
    """Go through the secrets of the ring's other keys, a small transaction at a time, so that sign-ins go on.

    What is done stays done when this is interrupted; another run goes on with the rest. A secret that can't be opened
    is left as it is.
    """
    for key_id in await database.read(totp_devices.keys):
        if key_id == ring.current.id or ring.get(key_id) is None:
            continue
        after = UUID(int=0)
        while devices := await database.read(
            partial(totp_devices.sealed_by_key, key_id=key_id, after=after, rows=BATCH_ROWS)
        ):
            sealed, faults = _seal_again(ring, devices)
            await database.write(partial(totp_devices.seal_again, devices=sealed))
            yield SealedAgain(len(sealed), faults)
            after = devices[-1].id


def _seal_again(ring: KeyRing, devices: list[StoredDevice]) -> tuple[list[tuple[StoredDevice, bytes]], list[str]]:
    sealed, faults = [], []
    for device in devices:
        try:
            sealed.append((device, seal_secret(ring, device.id, secret_of(ring, device))))
        except SealBrokenError as error:
            faults.append(str(error))
    return sealed, faults
