"""The sessions of a user, as they may see them."""

from uuid import UUID

from graphql_mfa.flows.sessions import SESSIONS_PER_ACCOUNT
from graphql_mfa.services import Services
from graphql_mfa.store import sessions
from graphql_mfa.store.sessions import ListedSession


async def list_sessions(services: Services, user_id: UUID) -> list[ListedSession]:
    """Those that live, newest use first."""
    now = services.clock()
    return await services.database.read(
        lambda connection: sessions.used_last(connection, user_id, now, SESSIONS_PER_ACCOUNT)
    )
