"""The dependencies of use cases, and the transactions that they run."""

import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from graphql_mfa.core.access_tokens import AccessTokens
from graphql_mfa.core.accounts import Account, FactorKind
from graphql_mfa.core.keys import KeyRing
from graphql_mfa.core.security_events import SecurityEventKind, event_id
from graphql_mfa.core.throttling import Limit
from graphql_mfa.hashing import HashingPool
from graphql_mfa.metrics import Metrics
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, outbox, security_events, throttles
from graphql_mfa.store.database import Database
from graphql_mfa.store.security_events import StoredEvent

T = TypeVar("T")

_LONGEST_USER_AGENT = 255

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Client:
    """The client of a request. headers: the request's, by lower-case name.

    address: the address or network that limits are counted by. ip_address: the client's own address. shares_address:
    whether `address` may be a proxy's, and so that of any other client too.
    """

    address: str
    headers: Mapping[str, str] = field(default_factory=dict)
    ip_address: str | None = None
    shares_address: bool = False

    @property
    def user_agent(self) -> str | None:
        """The `User-Agent` for lists of sessions and events: its printable characters, 255 at most."""
        text = self.headers.get("user-agent", "")[:_LONGEST_USER_AGENT]
        return "".join(character for character in text if character.isprintable()) or None


OPERATOR = Client(address="")
"""The client of what an operator does: its events have neither address nor user agent."""


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
    """The dependencies of a use case.

    sinks: the receivers that the outbox delivers security events to. wake_notifier: makes the notifier of this process
    poll the outbox now; None if it has none.
    """

    settings: Settings
    database: Database
    key_ring: KeyRing
    access_tokens: AccessTokens
    hashing: HashingPool
    clock: Clock
    sinks: Sequence[str]
    before_registration: BeforeRegistration
    metrics: Metrics
    claims: Claims | None = None
    wake_notifier: Callable[[], None] | None = None
    given_claims: dict[ClaimsRequest, Mapping[str, object]] = field(default_factory=dict)

    async def write(self, client: Client, use_case: "Callable[[Transaction], T]") -> T:
        """Run a function of a transaction, at the time of this call; it commits when the function returns.

        A commit that queued events for a sink wakes the notifier, unless the caller is cancelled during it.
        """
        now = self.clock()

        def run(connection: Connection) -> tuple[T, bool]:
            transaction = Transaction(connection, self, client, now)
            return use_case(transaction), bool(transaction.queued)

        result, queued = await self.database.write(run)
        if queued and self.wake_notifier:
            self.wake_notifier()
        return result


@dataclass(frozen=True)
class Call:
    """A call of a use case. access_token: None if the client sent none."""

    services: Services
    client: Client
    access_token: str | None

    async def write(self, use_case: "Callable[[Transaction], T]") -> T:
        """As `Services.write`, for this client."""
        return await self.services.write(self.client, use_case)


@dataclass(frozen=True)
class Authenticated:
    """A live session and its account.

    authenticated_at: when it last verified a second factor. may_be_fresh: False once that factor was removed or
    replaced, so that another one has to be verified.
    """

    session_id: UUID
    authenticated_at: datetime
    account: Account
    may_be_fresh: bool = True


@dataclass(frozen=True)
class Transaction:
    """A transaction of a use case, the client that causes it, and the time at which everything in it happens.

    queued: the events that it recorded for sinks.
    """

    connection: Connection
    services: Services
    client: Client
    now: datetime
    queued: list[StoredEvent] = field(default_factory=list)
    _positions: Iterator[int] = field(default_factory=itertools.count)

    def record(
        self,
        user_id: UUID,
        *kinds: SecurityEventKind,
        once_since: datetime | None = None,
        count: int | None = None,
        factor: FactorKind | None = None,
    ) -> None:
        """Record security events in this order, after those of earlier calls.

        Kinds that others can cause are recorded a limited number of times an hour; beyond it they are neither recorded
        nor delivered. Call it before the account is deleted, since it reads the username. once_since: such a kind is
        not recorded if the account has one since then. count: the number of attempts that the kinds sum up. factor: the
        kind of second factor that they are about.
        """
        connection, now, client = self.connection, self.now, self.client
        events = [
            StoredEvent(
                event_id(now, next(self._positions)), kind, now, client.ip_address, client.user_agent, count, factor
            )
            for kind in kinds
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
        if self.services.sinks and recorded:
            outbox.add(connection, user_id, self.services.sinks, recorded)
            self.queued.extend(recorded)

    def limit(self, limits: Mapping[bytes, Limit]) -> timedelta | None:
        """Count an attempt under every limit; or, when one does not allow it, count nothing and return the wait."""
        return throttles.reserve_all(self.connection, limits, self.now)

    def release(self, limits: Mapping[bytes, Limit]) -> None:
        """Take back an attempt that succeeded."""
        throttles.release(self.connection, limits)
