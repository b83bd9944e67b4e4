"""Tell whether the key ring fits the store, before somebody signs in."""

from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.store import readiness
from graphql_mfa.store.database import Database


async def missing_keys(database: Database, ring: KeyRing) -> list[bytes]:
    """The ids of the keys that sealed something and are not in the ring.

    Raises OutOfReachError, of which a store that is not migrated is one.
    """
    return [key for key in await readiness.sealing_keys(database) if ring.get(key) is None]
