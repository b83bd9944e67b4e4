"""Delete the user's own account."""

from graphql_mfa.client import Client
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.usernames import username_key
from graphql_mfa.flows.deletion import delete_with_all_that_is_personal
from graphql_mfa.flows.signed_in import Caller, act_freshly
from graphql_mfa.services import Services
from graphql_mfa.store import Connection
from graphql_mfa.types.accounts import AccountDeleted, DeleteAccountResult


async def delete_account(services: Services, access_token: str | None, client: Client) -> DeleteAccountResult:
    """Delete it with every session, challenge and factor. Of several callers at once, one deletes it."""

    def delete(connection: Connection, caller: Caller) -> AccountDeleted:
        user, now = caller.user, caller.now
        services.events.record(connection, user.id, now, client, SecurityEventKind.ACCOUNT_DELETED)
        key = username_key(user.account.username)
        delete_with_all_that_is_personal(connection, services.settings, user.id, key, now)
        return AccountDeleted(username=user.account.username)

    return await act_freshly(services, access_token, delete)
