"""What happened to an account, for its owner."""

from uuid import UUID

from graphql_mfa.services import Services
from graphql_mfa.store import security_events
from graphql_mfa.store.security_events import StoredEvent


async def list_security_events(services: Services, user_id: UUID, first: int, before: UUID | None) -> list[StoredEvent]:
    """The newest events, newest first; with `before`, the newest of those before it."""
    return await services.database.read(
        lambda connection: security_events.newest(connection, user_id, first, before or security_events.LAST_ID)
    )
