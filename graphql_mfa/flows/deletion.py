"""Deleting an account, as its owner and operators do."""

from datetime import datetime, timedelta
from uuid import UUID

from graphql_mfa.flows import limits
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, reserved_names, security_events, throttles, users


def delete_with_all_that_is_personal(
    connection: Connection, settings: Settings, user_id: UUID, name_key: str, now: datetime
) -> None:
    """Delete an account whose row the transaction holds, and reserve its name for a while.

    What happened to it goes too, or stays without telling to whom, this deletion included.
    """
    counted = limits.of_account(user_id, name_key, users.known_addresses(connection, user_id))
    users.remove(connection, user_id)
    throttles.forget(connection, counted)
    reserved_names.reserve(connection, name_key, now + timedelta(days=settings.deleted_name_days))
    # After the account: whoever records an event holds it or one of its sessions, so there is no later one.
    if settings.deleted_account_events == "remove":
        security_events.remove_all(connection, user_id)
    else:
        security_events.make_anonymous(connection, user_id)
