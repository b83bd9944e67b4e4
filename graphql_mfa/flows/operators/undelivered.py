"""Security events of which somebody is still to be told: how many there are, and those that were given up once more."""

from datetime import datetime
from functools import partial

from graphql_mfa.settings import Settings
from graphql_mfa.store import outbox
from graphql_mfa.store.database import Database
from graphql_mfa.store.outbox import SinkState


async def undelivered(database: Database) -> list[SinkState]:
    """What there is, by sink."""
    return await database.read(outbox.counts)


async def retry(database: Database, settings: Settings, now: datetime) -> int:
    """Make everything that was given up due again, a small transaction at a time; return how much it was."""
    total = 0
    while revived := await database.write(partial(outbox.revive, now=now, rows=settings.purge_batch_rows)):
        total += revived
    return total
