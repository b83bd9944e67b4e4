"""Authenticator apps: add, read, claim a time step, seal again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, or_, select, update

from graphql_mfa.core.sealing import sealed_by
from graphql_mfa.store.models import TotpDevice, UtcDateTime

_ADD = insert(TotpDevice)
_REMOVE_ALL = delete(TotpDevice).where(TotpDevice.user_id == bindparam("user"))
_devices = select(TotpDevice.id, TotpDevice.sealed_secret, TotpDevice.last_step)
_of_user = _devices.where(TotpDevice.user_id == bindparam("user"))
_CONFIRMED = _of_user.where(TotpDevice.confirmed_at.is_not(None))
_UNCONFIRMED = _of_user.where(TotpDevice.confirmed_at.is_(None))
_CLAIM_STEP = (
    update(TotpDevice)
    .where(
        TotpDevice.id == bindparam("device"),
        or_(TotpDevice.last_step.is_(None), TotpDevice.last_step < bindparam("step")),
    )
    .values(
        last_step=bindparam("step"),
        confirmed_at=func.coalesce(TotpDevice.confirmed_at, bindparam("now", type_=UtcDateTime)),
    )
)
_new_seal: Mapping[str, BindParameter[bytes]] = {"sealed_secret": bindparam("new_seal"), "key_id": bindparam("new_key")}
_CLAIM_STEP_AND_SEAL_AGAIN = _CLAIM_STEP.values(_new_seal)
_NEXT_KEY = select(TotpDevice.key_id).where(TotpDevice.key_id > bindparam("after")).order_by(TotpDevice.key_id).limit(1)
_COUNT_BY_KEY = select(TotpDevice.key_id, func.count().label("secrets")).group_by(TotpDevice.key_id)
_SEALED_BY = (
    _devices.where(TotpDevice.key_id == bindparam("key"), TotpDevice.id > bindparam("after"))
    .order_by(TotpDevice.id)
    .limit(bindparam("rows"))
)
_SEAL_AGAIN = (
    update(TotpDevice)
    .where(TotpDevice.id == bindparam("device"), TotpDevice.sealed_secret == bindparam("old_seal"))
    .values(_new_seal)
)


@dataclass(frozen=True)
class StoredDevice:
    """A device as a code is compared with it."""

    id: UUID
    sealed_secret: bytes
    last_step: int | None


def add(connection: Connection, *, id: UUID, user_id: UUID, sealed_secret: bytes, key_id: bytes, now: datetime) -> None:
    """Add an unconfirmed device."""
    row = {"id": id, "user_id": user_id, "sealed_secret": sealed_secret, "key_id": key_id, "created_at": now}
    connection.execute(_ADD, row)


def remove_all(connection: Connection, user_id: UUID) -> None:
    """Remove every device of the account."""
    connection.execute(_REMOVE_ALL, {"user": user_id})


def of_user(connection: Connection, user_id: UUID, *, confirmed: bool) -> list[StoredDevice]:
    """The devices that can answer a challenge: the confirmed ones, or while enrollment is pending the others."""
    found = connection.execute(_CONFIRMED if confirmed else _UNCONFIRMED, {"user": user_id})
    return [StoredDevice(row.id, row.sealed_secret, row.last_step) for row in found]


def claim_step(connection: Connection, id: UUID, step: int, now: datetime, sealed_again: bytes | None = None) -> bool:
    """Accept a time step, and so confirm the device: true for exactly one caller, and never for an older step.

    sealed_again: the same secret under the current key. A device never gets another secret, so it may replace whatever
    seal is there by now.
    """
    claim = {"device": id, "step": step, "now": now}
    if sealed_again is None:
        return connection.execute(_CLAIM_STEP, claim).rowcount == 1
    seal = {"new_seal": sealed_again, "new_key": sealed_by(sealed_again)}
    return connection.execute(_CLAIM_STEP_AND_SEAL_AGAIN, claim | seal).rowcount == 1


def keys(connection: Connection) -> list[bytes]:
    """The ids of the keys that sealed something, by one look into the index for each: no scan of all devices."""
    found: list[bytes] = []
    while key := connection.scalar(_NEXT_KEY, {"after": found[-1] if found else b""}):
        found.append(key)
    return found


def count_by_key(connection: Connection) -> dict[bytes, int]:
    """How many secrets each key sealed."""
    return {row.key_id: row.secrets for row in connection.execute(_COUNT_BY_KEY)}


def sealed_by_key(connection: Connection, key_id: bytes, *, after: UUID, rows: int) -> list[StoredDevice]:
    """Some of the devices that the key sealed, in the order of their ids."""
    found = connection.execute(_SEALED_BY, {"key": key_id, "after": after, "rows": rows})
    return [StoredDevice(row.id, row.sealed_secret, row.last_step) for row in found]


def seal_again(connection: Connection, devices: Iterable[tuple[StoredDevice, bytes]]) -> None:
    """Replace each device's seal, unless somebody else did so meanwhile."""
    rows = [
        {"device": device.id, "old_seal": device.sealed_secret, "new_seal": seal, "new_key": sealed_by(seal)}
        for device, seal in devices
    ]
    if rows:
        connection.execute(_SEAL_AGAIN, rows)
