"""Whether the store can serve, for a server that starts or is asked."""

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from graphql_mfa.store import keys
from graphql_mfa.store.database import Database
from graphql_mfa.store.outages import OutOfReachError, UnusableDatabaseError

_PATIENCE_SECONDS = 3  # load balancers give up soon, and ending a connection may take a driver two more


async def sealing_keys(database: Database) -> list[bytes]:
    """The ids of the keys that sealed something.

    Raises NotMigratedError, UnusableDatabaseError and OutOfReachError.
    """
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await database.require_migrated()
            return await database.read(keys.sealing_keys)
    except TimeoutError as error:
        raise OutOfReachError("no answer in time") from error
    except SQLAlchemyError as error:
        raise UnusableDatabaseError("its tables are not those of its version") from error
