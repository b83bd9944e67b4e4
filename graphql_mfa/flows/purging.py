"""Delete what has expired."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from graphql_mfa.flows.notifications import DELIVERY_TIME
from graphql_mfa.settings import Settings
from graphql_mfa.store import purging
from graphql_mfa.store.database import Database
from graphql_mfa.store.outages import UnavailableError

BATCH_ROWS = 500
"""Rows changed in one transaction, which keeps other writers waiting for that time only."""
_OUTBOX_RETENTION = DELIVERY_TIME + timedelta(days=30)  # for `graphql-mfa webhooks retry`
# After the last sign-in from the address. By then a dynamic address may have another user.
_KNOWN_ADDRESS_RETENTION = timedelta(days=90)
# A server whose clock is behind, or a request that waited for a lock, takes an expired ceremony for an open one.
_CEREMONY_RETENTION = timedelta(hours=1)


class PurgeError(Exception):
    """Some tables could not be purged; the others were. The message names tables and types of errors."""

    def __init__(self, failed: Mapping[str, Exception]) -> None:
        super().__init__(", ".join(f"{table}: {cause_of(error)}" for table, error in failed.items()))


def cause_of(error: Exception) -> str:
    """The text of an error for the log: never the driver's, which repeats values."""
    return str(error) if isinstance(error, UnavailableError | PurgeError) else type(error).__name__


async def purge(database: Database, settings: Settings, now: datetime) -> dict[str, int]:
    """Delete every expired row, in small transactions, so that sign-ins go on in between.

    Tables take turns, a batch each, so that neither a backlog nor an error of one delays the others. Returns the number
    of rows deleted per table. Raises PurgeError; if no table can be purged, the error of the first one.
    """
    batches = purging.batches(
        now,
        rows=BATCH_ROWS,
        otp_failure_window=settings.otp_failures_before_disabling.window,
        event_retention=timedelta(days=settings.security_event_days),
        known_address_retention=_KNOWN_ADDRESS_RETENTION,
        outbox_retention=_OUTBOX_RETENTION,
        ceremony_retention=_CEREMONY_RETENTION,
    )
    purged = dict.fromkeys(batches, 0)
    failed: dict[str, Exception] = {}
    unfinished = list(batches)
    while unfinished:
        for table in unfinished.copy():
            try:
                deleted = await database.write(batches[table])
            except Exception as error:  # noqa: BLE001 - whatever it is, the other tables can't wait for it
                failed[table] = error
                deleted = 0
            purged[table] += deleted
            if not deleted:
                unfinished.remove(table)
    if len(failed) == len(batches):
        raise next(iter(failed.values()))
    if failed:
        raise PurgeError(failed)
    return purged
