"""What a server that starts, or is asked whether it is ready, has to know of the store."""

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from graphql_mfa.store import totp_devices
from graphql_mfa.store.database import Database
from graphql_mfa.store.outages import OutOfReachError

_PATIENCE_SECONDS = 3  # whoever asks gives up soon; and to end a connection may take a driver two more


async def sealing_keys(database: Database) -> list[bytes] | None:
    """The ids of the keys that sealed something; None when the store is not migrated. Raises OutOfReachError."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await database.read(totp_devices.keys) if await database.migrated() else None
    except TimeoutError as error:
        raise OutOfReachError(type(error).__name__) from error
    except SQLAlchemyError:  # a column is not there
        return None
