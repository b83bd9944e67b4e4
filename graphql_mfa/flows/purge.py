"""Delete what has expired."""

from datetime import datetime, timedelta

from graphql_mfa.settings import Settings
from graphql_mfa.store import purging
from graphql_mfa.store.database import Database


async def purge(database: Database, settings: Settings, now: datetime) -> dict[str, int]:
    """Delete every expired row, a small transaction at a time, so that sign-ins go on in between.

    Returns the number of rows deleted per table; what hangs on a row goes with it.
    """
    batches = purging.batches(
        now,
        rows=settings.purge_batch_rows,
        otp_failure_window=timedelta(days=settings.otp_failure_window_days),
        event_retention=timedelta(days=settings.security_event_days),
        outbox_retention=timedelta(days=settings.event_delivery_days + settings.dead_event_days),
    )
    purged = dict.fromkeys(batches, 0)
    for table, batch in batches.items():
        while deleted := await database.write(batch):
            purged[table] += deleted
    return purged
