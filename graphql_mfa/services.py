"""What every use case depends on, made in one place."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from graphql_mfa.client import Client
from graphql_mfa.core.access_tokens import AccessTokens
from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.event_log import EventLog
from graphql_mfa.hashing import HashingPool
from graphql_mfa.observer import Observer
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import Database

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Registration:
    """An account that is about to be made, in order so far: its name, and who asks for it."""

    username: str
    client: Client


BeforeRegistration = Callable[[Registration], Awaitable[str | None]]
"""A host's own condition, such as a captcha or an invitation: None to go on, or a sentence for the user."""


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
"""A host's claims for an access token, by name. It runs on the event loop, outside of any transaction."""


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
    observer: Observer
    claims: Claims | None = None
    given_claims: dict[ClaimsRequest, Mapping[str, object]] = field(default_factory=dict)
