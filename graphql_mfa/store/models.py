"""The tables: a class for the rows of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from graphql_mfa.core import Described
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.totp import DEFAULT_DEVICE_NAME


class UtcDateTime(TypeDecorator[datetime]):
    """A datetime in UTC. SQLite returns naive datetimes; this type adds the offset."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


class Words(TypeDecorator[tuple[str, ...]]):
    """A tuple of words, or of members of an enum, separated by spaces."""

    impl = String
    cache_ok = True

    def __init__(self, of: type[str] = str) -> None:
        super().__init__()
        self.of = of

    def process_bind_param(self, value: Iterable[str] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else " ".join(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:  # noqa: ARG002
        return None if value is None else tuple(map(self.of, value.split()))


Digest = Annotated[bytes, mapped_column(LargeBinary(32))]
OwnerId = Annotated[UUID, mapped_column(ForeignKey("mfa_users.id", ondelete="CASCADE"))]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Maximum rows per account and address, and when rows are deleted, for docs/security.md. With default settings."""

    per_account: str
    per_address: str = "as its accounts"
    deleted: str


class Base(DeclarativeBase):
    """The base of all tables. Constraint names follow a convention, which migrations use too: never change it."""

    bounds: ClassVar[Bounds]

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        str: String,
        Described: Enum(Described, native_enum=False, length=None),
        tuple[str, ...]: Words,
        tuple[FactorKind, ...]: Words(FactorKind),
    }


class UserRow(Base):
    """An account. Transactions that count or change anything of an account lock its row first."""

    __tablename__ = "mfa_users"
    bounds = Bounds(
        per_account="one",
        per_address="20 registrations an hour",
        deleted="by its owner or an operator; 24 hours after an unconfirmed registration",
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    username: Mapped[str]
    username_key: Mapped[str] = mapped_column(unique=True)
    # Not unique: imported accounts, and those of earlier releases, can look alike.
    username_skeleton: Mapped[Digest | None] = mapped_column(index=True)
    password_hash: Mapped[str]
    created_at: Mapped[datetime]
    # Null until the first factor is verified.
    mfa_enabled_at: Mapped[datetime | None]
    # Null once the first factor is verified, and for accounts created by an operator.
    enrollment_expires_at: Mapped[datetime | None] = mapped_column(index=True)
    # Set when an operator imports the account or resets its factors.
    enrollment_code_digest: Mapped[Digest | None]
    # Consecutive wrong one-time codes, until when they block codes, and since when codes are off.
    otp_failures: Mapped[int] = mapped_column(default=0)
    otp_blocked_until: Mapped[datetime | None]
    otp_disabled_at: Mapped[datetime | None]
    # Set by an operator: sign-ins are refused.
    disabled_at: Mapped[datetime | None]
    # Names the account to authenticators for its life (WebAuthn L3 14.6.1). Null until it first adds a passkey.
    webauthn_handle: Mapped[bytes | None] = mapped_column(LargeBinary(64), index=True, unique=True)


class OtpFailureRow(Base):
    """A wrong one-time code, counted by the limit that successes don't reset."""

    __tablename__ = "mfa_otp_failures"
    bounds = Bounds(
        per_account="100 in 30 days; then one-time codes are off",
        deleted="after 30 days; when the password or the secret changes; with the account",
    )
    __table_args__ = (Index(None, "user_id", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[OwnerId]
    at: Mapped[datetime] = mapped_column(index=True)


class TotpDeviceRow(Base):
    """An authenticator app. Its secret is encrypted; its last accepted time step makes each code single-use.

    key_id: the key that encrypted the secret; also part of `sealed_secret`, but indexed here.
    """

    __tablename__ = "mfa_totp_devices"
    bounds = Bounds(
        per_account="5, unconfirmed ones included",
        deleted="by its owner; after 10 minutes unless confirmed; when enrollment restarts; with the account",
    )
    # Key rotation pages through the devices of a key.
    __table_args__ = (Index(None, "key_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[OwnerId] = mapped_column(index=True)
    sealed_secret: Mapped[bytes]
    key_id: Mapped[bytes] = mapped_column(LargeBinary(4))
    name: Mapped[str] = mapped_column(server_default=DEFAULT_DEVICE_NAME)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    # The session that added the device, and the end of its confirmation period. Null for devices of an enrollment.
    session_id: Mapped[UUID | None]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    last_step: Mapped[int | None]
    last_used_at: Mapped[datetime | None]


class PasskeyRow(Base):
    """A passkey: its public key, and what its authenticator reported."""

    __tablename__ = "mfa_passkeys"
    bounds = Bounds(per_account="10", deleted="by its owner; by an operator's reset; with the account")

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[OwnerId] = mapped_column(index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(1023), unique=True)
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(BigInteger)
    backup_eligible: Mapped[bool]
    backed_up: Mapped[bool]
    # Whether the last answer verified the user.
    user_verified: Mapped[bool]
    # Null if the client did not say.
    discoverable: Mapped[bool | None]
    aaguid: Mapped[UUID]
    transports: Mapped[tuple[str, ...]]
    name: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class UsedCeremonyRow(Base):
    """A ceremony of a passkey that was answered, so that it is answered once."""

    __tablename__ = "mfa_used_ceremonies"
    bounds = Bounds(
        per_account="one for each answer: 5 for each challenge, 60 an hour in a session",
        per_address="300 in five minutes without an account",
        deleted="an hour after it expired",
    )

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RecoveryCodeRow(Base):
    """An unused recovery code; using it deletes the row."""

    __tablename__ = "mfa_recovery_codes"
    bounds = Bounds(per_account="10", deleted="when used; when the set is replaced; with the account")

    user_id: Mapped[OwnerId] = mapped_column(primary_key=True)
    digest: Mapped[Digest] = mapped_column(primary_key=True)


class ChallengeRow(Base):
    """An open challenge; answering it deletes the row."""

    __tablename__ = "mfa_challenges"
    bounds = Bounds(
        per_account="10; another one replaces the oldest",
        deleted="when answered; after 5 attempts; after 5 minutes; with the account",
    )
    __table_args__ = (Index(None, "user_id", "created_at"),)

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    user_id: Mapped[OwnerId]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    # How many were refused since the last sign-in, counted when this challenge was opened.
    refused_passwords: Mapped[int] = mapped_column(default=0, server_default="0")


class SessionRow(Base):
    """A live session; ending it deletes the row."""

    __tablename__ = "mfa_sessions"
    bounds = Bounds(
        per_account="100; another one ends the one used least recently",
        deleted="when ended; an hour after the last refresh; a day after the sign-in; with the account",
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[OwnerId] = mapped_column(index=True)
    created_at: Mapped[datetime]
    # When a second factor was verified last, and the kinds verified in this session.
    authenticated_at: Mapped[datetime]
    factors: Mapped[tuple[FactorKind, ...]] = mapped_column("factor", key="factors")
    # The authenticator apps or passkeys that opened it and were verified last. Null for recovery codes, or if unknown.
    opened_by: Mapped[UUID | None]
    verified_by: Mapped[UUID | None]
    # Whether the last one was a passkey that verified its user.
    user_verified: Mapped[bool] = mapped_column(default=False, server_default=false())
    # Authentication methods (RFC 8176). Null if an earlier release opened it: then password and factors.
    methods: Mapped[tuple[str, ...] | None]
    # Since when that verification no longer allows sensitive operations; null while it may.
    stale_since: Mapped[datetime | None]
    # The client that signed in or refreshed last.
    ip_address: Mapped[str | None]
    user_agent: Mapped[str | None]
    # The absolute end, and the end unless the session is refreshed.
    ends_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    # The current token pair: its number, time, signing key, and refresh token.
    generation: Mapped[int] = mapped_column(default=0)
    refreshed_at: Mapped[datetime]
    key_id: Mapped[bytes] = mapped_column(LargeBinary(4))
    refresh_digest: Mapped[Digest] = mapped_column(unique=True)
    # Common to all refresh tokens of the session. Null until the first rotation if an earlier release opened it.
    family_digest: Mapped[Digest | None] = mapped_column(index=True, unique=True)
    # A digest of the token exchanged for the current pair and the client's retry key; null without a key.
    retry_digest: Mapped[Digest | None]
    # Refreshes in the current window of their limit.
    refreshes: Mapped[int] = mapped_column(default=0, server_default="0")
    refresh_window_ends_at: Mapped[datetime | None]


class UsedRefreshTokenRow(Base):
    """A refresh token used before the database was migrated to families. Read to detect reuse; none are added."""

    __tablename__ = "mfa_used_refresh_tokens"
    bounds = Bounds(
        per_account="none are added; the last 60 of each session opened by an earlier release",
        deleted="with the session",
    )

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("mfa_sessions.id", ondelete="CASCADE"), index=True)
    generation: Mapped[int]


class KnownAddressRow(Base):
    """An address from which the account signed in."""

    __tablename__ = "mfa_known_addresses"
    bounds = Bounds(
        per_account="50; another one replaces the one used least recently",
        per_address="one for each account that signed in from it, which takes two factors",
        deleted="unused for 90 days; with the account",
    )

    user_id: Mapped[OwnerId] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    last_used_at: Mapped[datetime] = mapped_column(index=True)


class ThrottleRow(Base):
    """The usage of one limit. The key is a digest, and reveals neither name nor address."""

    __tablename__ = "mfa_throttles"
    bounds = Bounds(
        per_account="by name 3, by account 1, by session 2, and 3 for each address that tried",
        per_address="8 (24 with IPv6: of the /64, /56 and /48), and three for each of 30 names in five minutes",
        deleted="when its window and its wait end, at most 75 minutes later; after 365 days for the passwords refused"
        " since an account's last sign-in",
    )

    key: Mapped[Digest] = mapped_column(primary_key=True)
    attempts: Mapped[int] = mapped_column(default=0)
    window_ends_at: Mapped[datetime] = mapped_column(index=True)
    blocked_until: Mapped[datetime | None]


class SecurityEventRow(Base):
    """A security event. It can outlive its account, hence no foreign key. Ids sort by time."""

    __tablename__ = "mfa_security_events"
    bounds = Bounds(
        per_account="10 an hour for each kind that others can cause; else one for each change (60 an hour in a"
        " session), three for each sign-in",
        deleted="after 365 days; deleted or anonymised with the account",
    )
    __table_args__ = (Index(None, "user_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    kind: Mapped[SecurityEventKind]
    at: Mapped[datetime] = mapped_column(index=True)
    ip_address: Mapped[str | None]
    user_agent: Mapped[str | None]
    # The number of attempts that it sums up.
    count: Mapped[int | None]
    # The kind of second factor that it is about.
    factor: Mapped[FactorKind | None]


class DeletionRow(Base):
    """A deleted account whose security events are still to be erased.

    replacement_id: replaces the account's id in its events; null to delete them.
    """

    __tablename__ = "mfa_deletions"
    bounds = Bounds(per_account="one", deleted="when a purge has erased the account's events")
    __table_args__ = (Index(None, "since", "user_id"),)

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    replacement_id: Mapped[UUID | None]
    since: Mapped[datetime]


class OutboxRow(Base):
    """An undelivered security event; it can outlive its account. Delivering it deletes the row.

    number: the order of delivery within an account. sink: the receiver.
    """

    __tablename__ = "mfa_outbox"
    bounds = Bounds(per_account="one for each security event and receiver", deleted="when delivered; after 33 days")
    __table_args__ = (
        Index(None, "sink", "due_at"),
        # Open messages of an account in order.
        Index(
            None,
            "sink",
            "user_id",
            "number",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
    )

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    sink: Mapped[str]
    event_id: Mapped[UUID]
    kind: Mapped[str]
    at: Mapped[datetime]
    user_id: Mapped[UUID]
    username: Mapped[str | None]
    ip_address: Mapped[str | None]
    user_agent: Mapped[str | None]
    count: Mapped[int | None]
    factor: Mapped[str | None]
    # The time of the first attempt and the number of attempts. due_at is in the future during delivery and before a
    # retry. It is null once delivery is given up.
    since: Mapped[datetime] = mapped_column(index=True)
    attempts: Mapped[int]
    due_at: Mapped[datetime | None]
    # The error of the last attempt: a status or the name of an exception's class, 100 characters at most.
    last_error: Mapped[str | None]


class ReservedNameRow(Base):
    """A digest of a deleted account's name, or of its skeleton, which can't be registered for a while."""

    __tablename__ = "mfa_reserved_names"
    bounds = Bounds(per_account="two", deleted="by an operator; after 30 days")

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(index=True)
