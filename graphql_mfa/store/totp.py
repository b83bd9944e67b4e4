"""Authenticator apps and their codes: add, read, claim a time step, name, remove; count wrong codes."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, or_, select, update

from graphql_mfa.core.keys import sealed_by
from graphql_mfa.core.totp import Device
from graphql_mfa.store import columns_of, find_all, find_one
from graphql_mfa.store.accounts import update_user
from graphql_mfa.store.models import OtpFailureRow, TotpDeviceRow, UtcDateTime

# A device that was not confirmed in time counts as removed.
_is_there = or_(TotpDeviceRow.expires_at.is_(None), TotpDeviceRow.expires_at > bindparam("now"))
_those_there = (TotpDeviceRow.user_id == bindparam("user"), _is_there)
_shown = (
    TotpDeviceRow.id,
    TotpDeviceRow.name,
    TotpDeviceRow.confirmed_at.is_not(None).label("confirmed"),
    TotpDeviceRow.created_at,
    TotpDeviceRow.last_used_at,
)
_that_one = (TotpDeviceRow.id == bindparam("device"), *_those_there)

_ADD_OTP_FAILURE = insert(OtpFailureRow)


def add_otp_failure(connection: Connection, id: UUID, failure_id: UUID, now: datetime, since: datetime) -> int:
    """Insert a wrong code; return how many there were since then."""
    connection.execute(_ADD_OTP_FAILURE, {"id": failure_id, "user_id": id, "at": now})
    return count_otp_failures(connection, id, since)


_COUNT_OTP_FAILURES = select(func.count()).where(
    OtpFailureRow.user_id == bindparam("user"), OtpFailureRow.at > bindparam("since")
)


def count_otp_failures(connection: Connection, id: UUID, since: datetime) -> int:
    """How many wrong codes there were since then."""
    return connection.scalar(_COUNT_OTP_FAILURES, {"user": id, "since": since}) or 0


def set_otp_state(
    connection: Connection,
    id: UUID,
    *,
    failures: int = 0,
    blocked_until: datetime | None = None,
    disabled_at: datetime | None = None,
) -> None:
    """Set the number of wrong codes in a row, the end of the wait that they caused, and whether codes are off."""
    state = {"otp_failures": failures, "otp_blocked_until": blocked_until, "otp_disabled_at": disabled_at}
    connection.execute(update_user, {"user": id, **state})


_FORGET_OTP_FAILURES = delete(OtpFailureRow).where(OtpFailureRow.user_id == bindparam("user"))


def forget_otp_failures(connection: Connection, id: UUID) -> None:
    """Delete the counted wrong codes: they were guesses at an old secret, or by somebody who knew the old password."""
    connection.execute(_FORGET_OTP_FAILURES, {"user": id})
    set_otp_state(connection, id)


@dataclass(frozen=True)
class StoredDevice:
    """A device as a code is compared with it. last_step, last_used_at: the last accepted code's."""

    id: UUID
    sealed_secret: bytes
    last_step: int | None
    last_used_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LockedDevice(Device):
    """A device whose row is locked. session_id: the session that added it; None for the first device of an account."""

    sealed_secret: bytes
    last_step: int | None
    session_id: UUID | None

    @property
    def stored(self) -> StoredDevice:
        """The part that a code is compared with."""
        return StoredDevice(self.id, self.sealed_secret, self.last_step, self.last_used_at)


def sealed_columns(sealed_secret: bytes) -> dict[str, bytes]:
    """The columns of an encrypted secret."""
    return {"sealed_secret": sealed_secret, "key_id": sealed_by(sealed_secret)}


_ADD = insert(TotpDeviceRow)


def add(
    connection: Connection,
    device: Device,
    user_id: UUID,
    sealed_secret: bytes,
    *,
    session_id: UUID | None = None,
    expires_at: datetime | None = None,
) -> None:
    """Add a device. session_id, expires_at: the session that can confirm it, and until when."""
    row = sealed_columns(sealed_secret) | {
        "id": device.id,
        "user_id": user_id,
        "name": device.name,
        "created_at": device.created_at,
        "confirmed_at": device.created_at if device.confirmed else None,
        "session_id": session_id,
        "expires_at": expires_at,
    }
    connection.execute(_ADD, row)


_REMOVE_ALL = delete(TotpDeviceRow).where(TotpDeviceRow.user_id == bindparam("user"))


def remove_all(connection: Connection, user_id: UUID) -> None:
    """Remove every device of the account."""
    connection.execute(_REMOVE_ALL, {"user": user_id})


devices = select(*columns_of(TotpDeviceRow, StoredDevice))
_of_user = devices.where(TotpDeviceRow.user_id == bindparam("user"))
_CONFIRMED = _of_user.where(TotpDeviceRow.confirmed_at.is_not(None))
_UNCONFIRMED = _of_user.where(TotpDeviceRow.confirmed_at.is_(None))


def of_user(connection: Connection, user_id: UUID, *, confirmed: bool) -> list[StoredDevice]:
    """The devices that can answer a challenge: the confirmed ones, or while enrollment is pending the others."""
    return find_all(connection, _CONFIRMED if confirmed else _UNCONFIRMED, {"user": user_id}, StoredDevice)


_now: BindParameter[datetime] = bindparam("now", type_=UtcDateTime)
_CLAIM_STEP = (
    update(TotpDeviceRow)
    .where(
        TotpDeviceRow.id == bindparam("device"),
        or_(TotpDeviceRow.last_step.is_(None), TotpDeviceRow.last_step < bindparam("step")),
    )
    .values(
        last_step=bindparam("step"),
        confirmed_at=func.coalesce(TotpDeviceRow.confirmed_at, _now),
        expires_at=None,
        last_used_at=_now,
    )
)


def claim_step(connection: Connection, id: UUID, step: int, now: datetime, re_encrypted: bytes | None = None) -> bool:
    """Accept a time step, and so confirm the device: true for exactly one caller, and never for an older step.

    re_encrypted: the same secret under the current key. A device never gets another secret, so it may replace whatever
    seal is there by now.
    """
    seal = sealed_columns(re_encrypted) if re_encrypted else {}
    return connection.execute(_CLAIM_STEP, {"device": id, "step": step, "now": now, **seal}).rowcount == 1


_SHOWN = select(*_shown).where(*_those_there).order_by(TotpDeviceRow.created_at, TotpDeviceRow.id)


def shown(connection: Connection, user_id: UUID, now: datetime) -> list[Device]:
    """The devices of the account as its owner sees them, oldest first."""
    return find_all(connection, _SHOWN, {"user": user_id, "now": now}, Device)


_COUNT = select(func.count()).where(*_those_there)


def count(connection: Connection, user_id: UUID, now: datetime) -> int:
    """How many devices the account has, unconfirmed ones included."""
    return connection.scalar(_COUNT, {"user": user_id, "now": now}) or 0


_LOCK = (
    select(*_shown, TotpDeviceRow.sealed_secret, TotpDeviceRow.last_step, TotpDeviceRow.session_id)
    .where(*_that_one)
    .with_for_update()
)


def lock(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> LockedDevice | None:
    """Lock that device of that account; None when it has none of that id."""
    return find_one(connection, _LOCK, {"device": id, "user": user_id, "now": now}, LockedDevice)


_RENAME = update(TotpDeviceRow).where(*_that_one).returning(*_shown)


def rename(connection: Connection, id: UUID, user_id: UUID, name: str, now: datetime) -> Device | None:
    """Rename that device of that account; None when it has none of that id."""
    return find_one(connection, _RENAME, {"device": id, "user": user_id, "name": name, "now": now}, Device)


_REMOVE = delete(TotpDeviceRow).where(TotpDeviceRow.id == bindparam("device"))


def remove(connection: Connection, id: UUID) -> None:
    """Remove a device whose row is locked."""
    connection.execute(_REMOVE, {"device": id})
