"""Whether the store can serve requests."""

import asyncio
from collections.abc import Iterable

from sqlalchemy.exc import SQLAlchemyError

from graphql_mfa.core.keys import KeyRing
from graphql_mfa.store import keys
from graphql_mfa.store.database import Database
from graphql_mfa.store.outages import UnavailableError, UnusableDatabaseError

_PATIENCE_SECONDS = 3  # load balancers give up soon, and ending a connection may take a driver two more


class LackedKeysError(UnusableDatabaseError):
    """The database holds secrets that were encrypted with keys which the key ring lacks."""

    def __init__(self, ids: Iterable[bytes]) -> None:
        """ids: of the keys."""
        shown = ", ".join(key_id.hex() for key_id in ids)
        self.summary = f"The database holds secrets that were sealed with a key which the key ring lacks: {shown}."
        Exception.__init__(self, self.summary)


async def require_ready(database: Database, ring: KeyRing) -> None:
    """Check that the database answers, that it is migrated, and that the ring has every key that it needs.

    Raises NotMigratedError, LackedKeysError, UnusableDatabaseError and UnavailableError.
    """
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await database.require_migrated()
            needed = await database.read(keys.sealing_keys)
    except TimeoutError as error:
        raise UnavailableError("no answer in time") from error
    except SQLAlchemyError as error:
        raise UnusableDatabaseError("its tables are not those of its version") from error
    if lacked := [key for key in needed if ring.get(key) is None]:
        raise LackedKeysError(lacked)
