"""The uses of each key of the ring, and re-encryption with the current one."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, func, or_, select, update

from graphql_mfa.store import find_all
from graphql_mfa.store.models import SessionRow, TotpDeviceRow
from graphql_mfa.store.sessions import lives
from graphql_mfa.store.totp import StoredDevice, devices, sealed_columns

_NEXT_KEY = (
    select(TotpDeviceRow.key_id)
    .where(TotpDeviceRow.key_id > bindparam("after"))
    .order_by(TotpDeviceRow.key_id)
    .limit(1)
)


def sealing_keys(connection: Connection) -> list[bytes]:
    """The ids of the keys that encrypted something, by one index lookup for each instead of a scan of all devices."""
    found: list[bytes] = []
    while key := connection.scalar(_NEXT_KEY, {"after": found[-1] if found else b""}):
        found.append(key)
    return found


_COUNT_SECRETS = select(TotpDeviceRow.key_id, func.count().label("secrets")).group_by(TotpDeviceRow.key_id)


def count_secrets(connection: Connection) -> dict[bytes, int]:
    """How many secrets each key encrypted."""
    return {row.key_id: row.secrets for row in connection.execute(_COUNT_SECRETS)}


_SEALED_BY = (
    devices.where(TotpDeviceRow.key_id == bindparam("key"), TotpDeviceRow.id > bindparam("after"))
    .order_by(TotpDeviceRow.id)
    .limit(bindparam("rows"))
)


def sealed_by_key(connection: Connection, key_id: bytes, *, after: UUID, rows: int) -> list[StoredDevice]:
    """Some of the devices whose secrets the key encrypted, in the order of their ids."""
    return find_all(connection, _SEALED_BY, {"key": key_id, "after": after, "rows": rows}, StoredDevice)


_RE_ENCRYPT = update(TotpDeviceRow).where(
    TotpDeviceRow.id == bindparam("device"), TotpDeviceRow.sealed_secret == bindparam("old_seal")
)


def re_encrypt(connection: Connection, devices: Iterable[tuple[StoredDevice, bytes]]) -> None:
    """Store each device's re-encrypted secret, unless it changed meanwhile."""
    rows = [{"device": device.id, "old_seal": device.sealed_secret, **sealed_columns(seal)} for device, seal in devices]
    if rows:
        connection.execute(_RE_ENCRYPT, rows)


_COUNT_SESSIONS = (
    select(SessionRow.key_id, func.count().label("sessions"))
    .where(
        lives,
        or_(
            SessionRow.refreshed_at > bindparam("since"),
            and_(SessionRow.retry_digest.is_not(None), SessionRow.refreshed_at > bindparam("retries_since")),
        ),
    )
    .group_by(SessionRow.key_id)
)


def count_sessions(connection: Connection, now: datetime, since: datetime, retries_since: datetime) -> dict[bytes, int]:
    """Count the live sessions whose tokens each key made after `since`, or after `retries_since` with a retry key."""
    given = {"now": now, "since": since, "retries_since": retries_since}
    return {row.key_id: row.sessions for row in connection.execute(_COUNT_SESSIONS, given)}
