"""What each key of the ring is needed for, and re-encryption with the current one."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, func, or_, select, update

from graphql_mfa.core.keys import sealed_by
from graphql_mfa.store.models import (
    Session,
    TotpDevice,
)
from graphql_mfa.store.sessions import lives
from graphql_mfa.store.totp import StoredDevice, devices, new_seal, stored_device_of

_NEXT_KEY = select(TotpDevice.key_id).where(TotpDevice.key_id > bindparam("after")).order_by(TotpDevice.key_id).limit(1)


def sealing_keys(connection: Connection) -> list[bytes]:
    """The ids of the keys that sealed something, by one look into the index for each: no scan of all devices."""
    found: list[bytes] = []
    while key := connection.scalar(_NEXT_KEY, {"after": found[-1] if found else b""}):
        found.append(key)
    return found


_COUNT_SECRETS = select(TotpDevice.key_id, func.count().label("secrets")).group_by(TotpDevice.key_id)


def count_secrets(connection: Connection) -> dict[bytes, int]:
    """How many secrets each key sealed."""
    return {row.key_id: row.secrets for row in connection.execute(_COUNT_SECRETS)}


_SEALED_BY = (
    devices.where(TotpDevice.key_id == bindparam("key"), TotpDevice.id > bindparam("after"))
    .order_by(TotpDevice.id)
    .limit(bindparam("rows"))
)


def sealed_by_key(connection: Connection, key_id: bytes, *, after: UUID, rows: int) -> list[StoredDevice]:
    """Some of the devices that the key sealed, in the order of their ids."""
    found = connection.execute(_SEALED_BY, {"key": key_id, "after": after, "rows": rows})
    return [stored_device_of(row) for row in found]


_RE_ENCRYPT = (
    update(TotpDevice)
    .where(TotpDevice.id == bindparam("device"), TotpDevice.sealed_secret == bindparam("old_seal"))
    .values(new_seal)
)


def re_encrypt(connection: Connection, devices: Iterable[tuple[StoredDevice, bytes]]) -> None:
    """Store each device's re-encrypted secret, unless it changed meanwhile."""
    rows = [
        {"device": device.id, "old_seal": device.sealed_secret, "new_seal": seal, "new_key": sealed_by(seal)}
        for device, seal in devices
    ]
    if rows:
        connection.execute(_RE_ENCRYPT, rows)


_COUNT_SESSIONS = (
    select(Session.key_id, func.count().label("sessions"))
    .where(
        lives,
        or_(
            Session.refreshed_at > bindparam("since"),
            and_(Session.retry_digest.is_not(None), Session.refreshed_at > bindparam("retries_since")),
        ),
    )
    .group_by(Session.key_id)
)


def count_sessions(connection: Connection, now: datetime, since: datetime, retries_since: datetime) -> dict[bytes, int]:
    """Count the live sessions whose tokens each key made after `since`, or after `retries_since` with a retry key."""
    given = {"now": now, "since": since, "retries_since": retries_since}
    return {row.key_id: row.sessions for row in connection.execute(_COUNT_SESSIONS, given)}
