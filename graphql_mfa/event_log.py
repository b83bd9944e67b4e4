"""Recording security events, in the account's list and in the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from graphql_mfa.client import Client
from graphql_mfa.core.security_events import SecurityEventKind, event_id
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, outbox, security_events
from graphql_mfa.store.security_events import StoredEvent

WEBHOOK = "webhook"


@dataclass(frozen=True)
class EventLog:
    """The security events of a deployment. sinks: the receivers that the outbox delivers them to."""

    sinks: Sequence[str] = ()

    @classmethod
    def of(cls, settings: Settings) -> "EventLog":
        """The event log of a process that has no receiver of its own."""
        return cls((WEBHOOK,) if settings.webhook_url else ())

    def record(
        self,
        connection: Connection,
        user_id: UUID,
        now: datetime,
        client: Client,
        *kinds: SecurityEventKind,
        once_since: datetime | None = None,
        refused_passwords: int = 0,
    ) -> None:
        """Record events in this order. At most one call in each transaction, since ids depend on the position.

        Kinds that others can cause are recorded a limited number of times an hour; beyond it they are neither recorded
        nor delivered. Call it before the account is deleted, since it reads the username. once_since: such a kind is
        not recorded if the account has one since then. refused_passwords: recorded as PASSWORDS_REFUSED, before the
        others, unless it is 0.
        """
        counted = [(SecurityEventKind.PASSWORDS_REFUSED, refused_passwords)] if refused_passwords else []
        events = [
            StoredEvent(event_id(now, position), kind, now, client.ip_address, client.user_agent, count)
            for position, (kind, count) in enumerate([*counted, *((kind, None) for kind in kinds)])
        ]
        unbounded = [event for event in events if event.kind.most_per_hour is None]
        if unbounded:
            security_events.add(connection, user_id, unbounded)
        recorded = [
            event
            for event in events
            if event.kind.most_per_hour is None
            or security_events.add_bounded(
                connection, user_id, event, most_per_hour=event.kind.most_per_hour, once_since=once_since
            )
        ]
        if self.sinks and recorded:
            outbox.add(connection, user_id, self.sinks, recorded)
