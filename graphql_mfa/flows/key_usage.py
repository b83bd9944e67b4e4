"""Count what still needs each key."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from graphql_mfa.core.key_ring import Key, KeyRing
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, sessions, totp_devices
from graphql_mfa.store.database import Database


class KeyPlace(StrEnum):
    """Where a key is in the ring."""

    CURRENT = "current"
    # It only reads: a new key before it is moved to the front, or an old one after that.
    SPARE = "spare"
    DECRYPT_ONLY = "decrypt-only"
    MISSING = "missing"


@dataclass(frozen=True)
class KeyUsage:
    """What needs a key: the secrets that it sealed, and the live sessions whose tokens it made and that still count."""

    id: bytes
    place: KeyPlace
    secrets: int
    sessions: int


async def key_usage(database: Database, ring: KeyRing, settings: Settings, now: datetime) -> list[KeyUsage]:
    """Every key of the ring in its order, then those that the ring lacks and something needs."""
    # How long a session's access token is checked with its key, and how long the pair is repeated.
    since = now - timedelta(seconds=max(settings.access_token_seconds, settings.refresh_grace_seconds))
    retries_since = now - timedelta(seconds=settings.refresh_retry_seconds)

    def count(connection: Connection) -> tuple[dict[bytes, int], dict[bytes, int]]:
        return totp_devices.count_by_key(connection), sessions.count_by_key(connection, now, since, retries_since)

    secrets, tokens = await database.read(count)
    in_ring = [key.id for key in ring.keys]
    missing = sorted((secrets.keys() | tokens.keys()) - set(in_ring))

    def usage(id: bytes) -> KeyUsage:
        place = _place(ring, ring.get(id))
        # Nobody believes a leaked key's tokens.
        live = 0 if place is KeyPlace.DECRYPT_ONLY else tokens.get(id, 0)
        return KeyUsage(id, place, secrets.get(id, 0), live)

    return [usage(key_id) for key_id in in_ring + missing]


def _place(ring: KeyRing, key: Key | None) -> KeyPlace:
    if key is None:
        return KeyPlace.MISSING
    if key.decrypt_only:
        return KeyPlace.DECRYPT_ONLY
    return KeyPlace.CURRENT if key is ring.current else KeyPlace.SPARE
