"""Deleting an account, as its owner and operators do."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from graphql_mfa.flows import limits
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, deletions, reserved_names, throttles, users


def delete_with_all_that_is_personal(
    connection: Connection,
    settings: Settings,
    user_id: UUID,
    name_key: str,
    now: datetime,
    *,
    reserve_name: bool = True,
) -> None:
    """Delete an account whose row the transaction holds, and reserve its name for a while.

    reserve_name: False for a registration that was never confirmed, so that others know no account by its name.

    Its factors, sessions and challenges go with its row: there are only so many. Its security events, this deletion
    included, are removed or made anonymous; where there are very many, the purge goes on with that.
    """
    counted = limits.of_account(user_id, name_key, users.known_addresses(connection, user_id))
    users.remove(connection, user_id)
    throttles.forget(connection, counted)
    if reserve_name:
        reserved_names.reserve(connection, name_key, now + timedelta(days=settings.deleted_name_days))
    # After the account: whoever records an event holds it or one of its sessions, so there is no later one.
    replacement = None if settings.deleted_account_events == "remove" else uuid4()
    deletions.erase_events(connection, user_id, replacement, now)
