"""The security events of an account."""

from datetime import datetime

import strawberry

from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.store.security_events import StoredEvent


@strawberry.type(description="Something that happened to the account.")
class SecurityEvent:
    id: strawberry.ID = strawberry.field(description="Ids are in the order of time; for `before`.")
    kind: SecurityEventKind = strawberry.field(description="What happened.")
    at: datetime = strawberry.field(description="When.")
    ip_address: str | None = strawberry.field(description="The client's address; null for what an operator did.")
    user_agent: str | None = strawberry.field(
        description="What the client says it is: up to 255 characters, of its choice."
    )

    @classmethod
    def of(cls, event: StoredEvent) -> "SecurityEvent":
        """A stored event."""
        return cls(
            id=strawberry.ID(str(event.id)),
            kind=event.kind,
            at=event.at,
            ip_address=event.ip_address,
            user_agent=event.user_agent,
        )
