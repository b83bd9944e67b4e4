"""What every use case depends on, and the transactions that it runs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from graphql_mfa.client import Client
from graphql_mfa.core.access_tokens import AccessTokens
from graphql_mfa.core.keys import KeyRing
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Limit
from graphql_mfa.event_log import EventLog
from graphql_mfa.hashing import HashingPool
from graphql_mfa.metrics import Metrics
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, throttles
from graphql_mfa.store.database import Database

T = TypeVar("T")

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Registration:
    """A valid registration whose account is about to be created: its username, and the client."""

    username: str
    client: Client


BeforeRegistration = Callable[[Registration], Awaitable[str | None]]
"""A host's condition, such as a captcha or an invitation: None to go on, or a sentence for the user."""


async def no_condition(_: Registration) -> None:
    """Anyone may register."""


@dataclass(frozen=True)
class ClaimsRequest:
    """The account and the session that an access token is about to be issued for.

    session_id: None at a sign-in, whose session opens with the token. authenticated_at, amr: as in the token
    (`auth_time`, `amr`).
    """

    user_id: UUID
    username: str
    session_id: UUID | None
    authenticated_at: datetime
    amr: tuple[str, ...]


Claims = Callable[[ClaimsRequest], Mapping[str, object] | Awaitable[Mapping[str, object]]]
"""A host's claims for an access token, by name. It runs on the event loop, outside any transaction."""


@dataclass(frozen=True)
class Services:
    """The dependencies of a use case."""

    settings: Settings
    database: Database
    key_ring: KeyRing
    access_tokens: AccessTokens
    hashing: HashingPool
    clock: Clock
    events: EventLog
    before_registration: BeforeRegistration
    metrics: Metrics
    claims: Claims | None = None
    given_claims: dict[ClaimsRequest, Mapping[str, object]] = field(default_factory=dict)

    async def write(self, client: Client, use_case: "Callable[[Transaction], T]") -> T:
        """Run a function of a transaction, at the time of this call; it commits when the function returns."""
        now = self.clock()
        return await self.database.write(lambda connection: use_case(Transaction(connection, self, client, now)))


@dataclass(frozen=True)
class Transaction:
    """A transaction of a use case, the client that causes it, and the time at which everything in it happens."""

    connection: Connection
    services: Services
    client: Client
    now: datetime

    def record(
        self,
        user_id: UUID,
        *kinds: SecurityEventKind,
        once_since: datetime | None = None,
        refused_passwords: int = 0,
    ) -> None:
        """Record security events of the account, as `EventLog.record` does."""
        self.services.events.record(
            self.connection,
            user_id,
            self.now,
            self.client,
            *kinds,
            once_since=once_since,
            refused_passwords=refused_passwords,
        )

    def limit(self, limits: Mapping[bytes, Limit]) -> timedelta | None:
        """Count an attempt under every limit; or, when one does not allow it, count nothing and return the wait."""
        return throttles.reserve_all(self.connection, limits, self.now)

    def release(self, limits: Mapping[bytes, Limit]) -> None:
        """Take back an attempt that succeeded."""
        throttles.release(self.connection, limits)
