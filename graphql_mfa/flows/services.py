"""What every use case depends on, made in one place."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from graphql_mfa.core.access_tokens import AccessTokens
from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.flows.hashing import HashingPool
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import Database

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """The dependencies of a use case."""

    settings: Settings
    database: Database
    key_ring: KeyRing
    access_tokens: AccessTokens
    hashing: HashingPool
    clock: Clock


@dataclass(frozen=True)
class Client:
    """Who calls: the address that limits are counted by."""

    address: str
