"""Delete what has expired."""

from datetime import timedelta

from graphql_mfa.flows.services import Services
from graphql_mfa.store import purging


async def purge(services: Services) -> dict[str, int]:
    """Delete every expired row, a small transaction at a time, so that sign-ins go on in between.

    Returns the number of rows deleted per table; what hangs on a row goes with it.
    """
    settings = services.settings
    batches = purging.batches(
        services.clock(),
        rows=settings.purge_batch_rows,
        otp_failure_window=timedelta(days=settings.otp_failure_window_days),
        event_retention=timedelta(days=settings.security_event_days),
    )
    purged = dict.fromkeys(batches, 0)
    for table, batch in batches.items():
        while deleted := await services.database.write(batch):
            purged[table] += deleted
    return purged
