"""Authenticator apps: add, read, claim a time step."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from graphql_mfa.store.models import TotpDevice

_ADD = insert(TotpDevice)
_REMOVE_ALL = delete(TotpDevice).where(TotpDevice.user_id == bindparam("user"))
_of_user = select(TotpDevice.id, TotpDevice.sealed_secret, TotpDevice.last_step).where(
    TotpDevice.user_id == bindparam("user")
)
_CONFIRMED = _of_user.where(TotpDevice.confirmed_at.is_not(None))
_UNCONFIRMED = _of_user.where(TotpDevice.confirmed_at.is_(None))
_CLAIM_STEP = (
    update(TotpDevice)
    .where(
        TotpDevice.id == bindparam("device"),
        or_(TotpDevice.last_step.is_(None), TotpDevice.last_step < bindparam("step")),
    )
    .values(last_step=bindparam("step"), confirmed_at=func.coalesce(TotpDevice.confirmed_at, bindparam("now")))
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


def claim_step(connection: Connection, id: UUID, step: int, now: datetime) -> bool:
    """Accept a time step, and so confirm the device: true for exactly one caller, and never for an older step."""
    return connection.execute(_CLAIM_STEP, {"device": id, "step": step, "now": now}).rowcount == 1
