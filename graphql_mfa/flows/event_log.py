"""Remembering what happens to an account, as every use case does."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from graphql_mfa.core.security_events import SecurityEventKind, event_id
from graphql_mfa.flows.client import Client
from graphql_mfa.store import Connection, security_events
from graphql_mfa.store.security_events import StoredEvent


@dataclass(frozen=True)
class EventLog:
    """The security events of a deployment."""

    def record(
        self, connection: Connection, user_id: UUID, now: datetime, client: Client | None, *kinds: SecurityEventKind
    ) -> None:
        """Remember what this transaction does, in the order given; once for each transaction, since ids depend on that.

        client: None for what an operator does.
        """
        ip_address, user_agent = (client.ip_address, client.user_agent) if client else (None, None)
        events = [
            StoredEvent(event_id(now, position), kind, now, ip_address, user_agent)
            for position, kind in enumerate(kinds)
        ]
        security_events.add(connection, user_id, events)

    def record_wrong_password(
        self, connection: Connection, user_id: UUID | None, now: datetime, client: Client
    ) -> None:
        """Remember it of an account; of none, write as much and remove it again: time does not tell them apart."""
        nobody = uuid4()
        self.record(connection, user_id or nobody, now, client, SecurityEventKind.SIGN_IN_FAILED)
        security_events.remove_all(connection, nobody)
