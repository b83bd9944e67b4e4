"""Remembering what happens to an account, as every use case does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from graphql_mfa.client import Client
from graphql_mfa.core.security_events import SecurityEventKind, event_id
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, accounts, outbox, security_events
from graphql_mfa.store.security_events import StoredEvent

WEBHOOK = "webhook"


@dataclass(frozen=True)
class EventLog:
    """The security events of a deployment.

    sinks: who is told of them, beside those who look.
    """

    sinks: Sequence[str] = ()

    @classmethod
    def of(cls, settings: Settings) -> "EventLog":
        """As they are wherever nobody listens in the process itself."""
        return cls((WEBHOOK,) if settings.webhook_url else ())

    def record(
        self,
        connection: Connection,
        user_id: UUID,
        now: datetime,
        client: Client | None,
        *kinds: SecurityEventKind,
        once_since: datetime | None = None,
        decoy: UUID | None = None,
    ) -> None:
        """Remember what this transaction does, in the order given; once for each transaction, since ids depend on that.

        Kinds that others can cause are recorded a number of times an hour, and then neither recorded nor delivered.
        client: None for what an operator does. What deletes the account comes after this, which looks up its name.
        once_since: nothing is recorded of such a kind if the account has one since then. decoy: the id under which an
        event that is not recorded goes to the outbox, for the same statements as one that is; to be forgotten.
        """
        ip_address, user_agent = (client.ip_address, client.user_agent) if client else (None, None)
        events = [
            StoredEvent(event_id(now, position), kind, now, ip_address, user_agent)
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

    def record_wrong_password(
        self, connection: Connection, user_id: UUID | None, now: datetime, client: Client
    ) -> None:
        """Remember it of an account; of none, write as much and remove it again: time does not tell them apart.

        An account that was deleted while the password was hashed is none.
        """
        nobody = uuid4()
        supposed = user_id or nobody
        there = accounts.keep(connection, supposed)
        account = supposed if there else nobody
        self.record(connection, account, now, client, SecurityEventKind.SIGN_IN_FAILED, decoy=nobody)
        self.forget(connection, nobody)

    def forget(self, connection: Connection, nobody: UUID) -> None:
        """Remove what was recorded of an account that does not exist, so that nobody is told of it.

        Of one that does nobody is told at once: the next request would have to wait for that, and tell them apart.
        """
        security_events.remove_all(connection, nobody)
        if self.sinks:
            outbox.remove_all(connection, nobody, self.sinks)
            outbox.tell_later(connection)
