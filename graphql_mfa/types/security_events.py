"""Security events."""

from datetime import datetime

import strawberry

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.store.security_events import StoredEvent


@strawberry.type(name="SecurityEvent", description="A change of the account, or an attempt to sign in to it.")
class AccountEvent:
    id: strawberry.ID = strawberry.field(description="Ids sort by time. For `before`.")
    kind: SecurityEventKind = strawberry.field(description="The kind of event.")
    at: datetime = strawberry.field(description="When it happened.")
    ip_address: str | None = strawberry.field(description="The client's address; null for an operator's actions.")
    user_agent: str | None = strawberry.field(
        description="The client's `User-Agent`, not verified: up to 255 characters."
    )
    factor: FactorKind | None = strawberry.field(
        description="The kind of second factor that signed in, was refused, added or removed; null for events about "
        "none, and for those of earlier releases."
    )
    count: int | None = strawberry.field(
        description="Number of attempts that it sums up; null for kinds that don't sum up any."
    )

    @classmethod
    def of(cls, event: StoredEvent) -> "AccountEvent":
        return cls(
            id=strawberry.ID(str(event.id)),
            kind=event.kind,
            at=event.at,
            ip_address=event.ip_address,
            user_agent=event.user_agent,
            count=event.count,
            factor=event.factor,
        )
