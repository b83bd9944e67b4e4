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
        decoy: UUID | None = None,
    ) -> None:
        """Record events in this order. At most one call in each transaction, since ids depend on the position.

        Kinds that others can cause are recorded a limited number of times an hour; beyond it they are neither recorded
        nor delivered. Call it before the account is deleted, since it reads the username. once_since: such a kind is
        not recorded if the account has one since then. decoy: an event that is not recorded goes to the outbox under
        this id, for the same statements as one that is recorded; the caller removes it by `forget`.
        """
        events = [
            StoredEvent(event_id(now, position), kind, now, client.ip_address, client.user_agent)
            for position, kind in enumerate(kinds)
        ]
        unbounded = [event for event in events if event.kind.most_per_hour is None]
        bounded = [event for event in events if event not in unbounded]
        if unbounded:
            security_events.add(connection, user_id, unbounded)
        refused = [
            event
            for event in bounded
            if not security_events.add_bounded(
                connection, user_id, event, most_per_hour=event.kind.most_per_hour or 0, once_since=once_since
            )
        ]
        if self.sinks:
            if recorded := [event for event in events if event not in refused]:
                outbox.add(connection, user_id, self.sinks, recorded)
            if refused and decoy:
                outbox.add(connection, decoy, self.sinks, refused)

    def forget(self, connection: Connection, decoy: UUID) -> None:
        """Remove what was recorded of an account that does not exist, so that it is not delivered.

        The commit does not wake the delivery: the next request would wait for it, which would show that the account
        does not exist.
        """
        security_events.remove_all(connection, decoy)
        if self.sinks:
            outbox.remove_all(connection, decoy, self.sinks)
            outbox.tell_later(connection)
