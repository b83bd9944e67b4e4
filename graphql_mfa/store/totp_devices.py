"""Authenticator apps: add, read, claim a time step."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from graphql_mfa.store.models import TotpDevice


@dataclass(frozen=True)
class StoredDevice:
    """A device as a code is compared with it."""

    id: UUID
    sealed_secret: bytes
    last_step: int | None


def add(connection: Connection, *, id: UUID, user_id: UUID, sealed_secret: bytes, key_id: bytes, now: datetime) -> None:
    """Add an unconfirmed device."""
    connection.execute(
        insert(TotpDevice).values(id=id, user_id=user_id, sealed_secret=sealed_secret, key_id=key_id, created_at=now)
    )


def remove_all(connection: Connection, user_id: UUID) -> None:
    """Remove every device of the account."""
    connection.execute(delete(TotpDevice).where(TotpDevice.user_id == user_id))


def of_user(connection: Connection, user_id: UUID, *, confirmed: bool) -> list[StoredDevice]:
    """The devices that can answer a challenge: the confirmed ones, or while enrollment is pending the others."""
    query = select(TotpDevice.id, TotpDevice.sealed_secret, TotpDevice.last_step).where(
        TotpDevice.user_id == user_id,
        TotpDevice.confirmed_at.is_not(None) if confirmed else TotpDevice.confirmed_at.is_(None),
    )
    return [StoredDevice(row.id, row.sealed_secret, row.last_step) for row in connection.execute(query)]


def claim_step(connection: Connection, id: UUID, step: int, now: datetime) -> bool:
    """Accept a time step, and so confirm the device: true for exactly one caller, and never for an older step."""
    claimed = connection.execute(
        update(TotpDevice)
        .where(TotpDevice.id == id, or_(TotpDevice.last_step.is_(None), TotpDevice.last_step < step))
        .values(last_step=step, confirmed_at=func.coalesce(TotpDevice.confirmed_at, now))
    )
    return claimed.rowcount == 1
