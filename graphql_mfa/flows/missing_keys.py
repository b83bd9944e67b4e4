"""Tell whether the key ring fits the store, before somebody signs in."""

from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.store import readiness
from graphql_mfa.store.database import Database


async def missing_keys(database: Database, ring: KeyRing) -> list[bytes] | None:
    """The ids of the keys that sealed something and are not in the ring; None when the store is not migrated.

    Raises OutOfReachError.
    """
    keys = await readiness.sealing_keys(database)
    return None if keys is None else [key for key in keys if ring.get(key) is None]
