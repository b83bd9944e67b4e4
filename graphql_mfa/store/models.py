"""The tables."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from graphql_mfa.core.totp import DEFAULT_DEVICE_NAME


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. SQLite gives naive datetimes back; here every datetime has an offset."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Store UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give UTC back."""
        return None if value is None else value.replace(tzinfo=UTC)


Digest = Annotated[bytes, mapped_column(LargeBinary(32))]
OwnerId = Annotated[UUID, mapped_column(ForeignKey("mfa_users.id", ondelete="CASCADE"))]


@dataclass(frozen=True)
class Bounds:
    """How many rows of a table an account and an address may have, and when they are deleted, for docs/security.md.

    Numbers are the defaults of settings.
    """

    per_account: str
    per_address: str
    gone: str


class Base(DeclarativeBase):
    """The mapping's registry. Constraint names are fixed, so that migrations can name them."""

    bounds: ClassVar[Bounds]

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime, str: String}


class User(Base):
    """An account. Its row is the lock under which everything that counts for the account happens."""

    __tablename__ = "mfa_users"
    bounds = Bounds(
        per_account="one",
        per_address="20 registrations an hour",
        gone="deleted by its owner or an operator; 24 hours after a registration that is never confirmed",
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    username: Mapped[str]
    username_key: Mapped[str] = mapped_column(unique=True)
    # A digest. Accounts of earlier releases, and imported ones, can have one in common; new names are refused then.
    username_skeleton: Mapped[Digest | None] = mapped_column(index=True)
    password_hash: Mapped[str]
    created_at: Mapped[datetime]
    # Null until a first code was verified.
    mfa_enabled_at: Mapped[datetime | None]
    # Null once a first code was verified, and for accounts that an operator made.
    enrollment_expires_at: Mapped[datetime | None] = mapped_column(index=True)
    # Set when an operator imported the account or reset its factors.
    enrollment_code_digest: Mapped[Digest | None]
    # Wrong one-time codes in a row, the wait that they made, and since when codes are off.
    otp_failures: Mapped[int] = mapped_column(default=0)
    otp_blocked_until: Mapped[datetime | None]
    otp_disabled_at: Mapped[datetime | None]
    # Set by an operator: nobody signs in to the account until it is taken back.
    disabled_at: Mapped[datetime | None]


class OtpFailure(Base):
    """A wrong one-time code, remembered for the limit that a success does not reset."""

    __tablename__ = "mfa_otp_failures"
    bounds = Bounds(
        per_account="100 in 30 days; then codes are off, and none is compared",
        per_address="as its accounts",
        gone="30 days later; with a new password or secret; with its account",
    )
    __table_args__ = (Index(None, "user_id", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[OwnerId]
    at: Mapped[datetime] = mapped_column(index=True)


class TotpDevice(Base):
    """An authenticator app. Its secret is sealed; its last accepted time step makes each code count once.

    key_id: the key that sealed it, which the blob itself names too; here it can be looked for.
    """

    __tablename__ = "mfa_totp_devices"
    bounds = Bounds(
        per_account="5, those to be confirmed included",
        per_address="as its accounts",
        gone="removed; 10 minutes after it was added, unless confirmed; with a restarted enrollment; with its account",
    )
    # In the order in which those of one key are gone through, some at a time.
    __table_args__ = (Index(None, "key_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[OwnerId] = mapped_column(index=True)
    sealed_secret: Mapped[bytes]
    key_id: Mapped[bytes] = mapped_column(LargeBinary(4))
    name: Mapped[str] = mapped_column(server_default=DEFAULT_DEVICE_NAME)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    # Of a device that a signed-in user added: in which session, and until it is confirmed, for how long.
    session_id: Mapped[UUID | None]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    last_step: Mapped[int | None]
    last_used_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """An unused recovery code; using it deletes the row."""

    __tablename__ = "mfa_recovery_codes"
    bounds = Bounds(
        per_account="10",
        per_address="as its accounts",
        gone="used; with a new set; with its account",
    )

    user_id: Mapped[OwnerId] = mapped_column(primary_key=True)
    digest: Mapped[Digest] = mapped_column(primary_key=True)


class Challenge(Base):
    """An open challenge; answering it deletes the row."""

    __tablename__ = "mfa_challenges"
    bounds = Bounds(
        per_account="10; another one ends the oldest",
        per_address="as its accounts",
        gone="answered; after 5 answers; 5 minutes later; with its account",
    )
    __table_args__ = (Index(None, "user_id", "created_at"),)

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    user_id: Mapped[OwnerId]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)


class Session(Base):
    """A live session; ending it deletes the row."""

    __tablename__ = "mfa_sessions"
    bounds = Bounds(
        per_account="100; another one ends the one used least recently",
        per_address="as its accounts",
        gone="ended; an hour after its last refresh; a day after its sign-in; with its account",
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[OwnerId] = mapped_column(index=True)
    created_at: Mapped[datetime]
    # When a second factor was verified last, and which were in this session, separated by spaces.
    authenticated_at: Mapped[datetime]
    factors: Mapped[str] = mapped_column("factor", key="factors")
    # The authenticator apps that opened it and that it verified last. Null: a recovery code, or not known.
    opened_by: Mapped[UUID | None]
    verified_by: Mapped[UUID | None]
    # Since when that verification counts no more for sensitive operations, if it doesn't.
    stale_since: Mapped[datetime | None]
    # Of whoever signed in or refreshed it last.
    ip_address: Mapped[str | None]
    user_agent: Mapped[str | None]
    # The absolute end, and the earlier one unless the session is refreshed.
    ends_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    # The current pair of tokens: its number, when and with which key it was made, its refresh token.
    generation: Mapped[int] = mapped_column(default=0)
    refreshed_at: Mapped[datetime]
    key_id: Mapped[bytes] = mapped_column(LargeBinary(4))
    refresh_digest: Mapped[Digest] = mapped_column(unique=True)
    # What all refresh tokens of the session have in common. Null until the first rotation, if an
    # earlier release opened it.
    family_digest: Mapped[Digest | None] = mapped_column(index=True, unique=True)
    # Of the token that was traded for the current pair and the client's key for repeating that; null without a key.
    retry_digest: Mapped[Digest | None]
    # Refreshes in the current window of their limit.
    refreshes: Mapped[int] = mapped_column(default=0, server_default="0")
    refresh_window_ends_at: Mapped[datetime | None]


class UsedRefreshToken(Base):
    """A refresh token that a session traded in before its store was upgraded to families.

    Rows are read, so that reuse of such a token is recognised, and never added.
    """

    __tablename__ = "mfa_used_refresh_tokens"
    bounds = Bounds(
        per_account="none is added; the last 60 of each session that an earlier release opened",
        per_address="as its accounts",
        gone="with its session",
    )

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("mfa_sessions.id", ondelete="CASCADE"), index=True)
    generation: Mapped[int]


class KnownAddress(Base):
    """An address from which the account signed in. An account has at most 50; unused ones are deleted after 90 days."""

    __tablename__ = "mfa_known_addresses"
    bounds = Bounds(
        per_account="50; another one replaces the one used least recently",
        per_address="one for each account that signed in from it, which takes two factors",
        gone="unused for 90 days, or with its account",
    )

    user_id: Mapped[OwnerId] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    last_used_at: Mapped[datetime] = mapped_column(index=True)


class Throttle(Base):
    """What was used of one limit. The key is a digest: it reveals neither name nor address."""

    __tablename__ = "mfa_throttles"
    bounds = Bounds(
        per_account="by name 2, by account 1, by session 2, and 3 for each address that tried",
        per_address="8 (24 with IPv6: of the /64, /56 and /48), and one for each of 30 names in five minutes",
        gone="its window and its wait are over, at most an hour and 15 minutes later",
    )

    key: Mapped[Digest] = mapped_column(primary_key=True)
    attempts: Mapped[int] = mapped_column(default=0)
    window_ends_at: Mapped[datetime] = mapped_column(index=True)
    blocked_until: Mapped[datetime | None]


class SecurityEvent(Base):
    """Something that happened to an account. It outlives its account, hence no foreign key; ids are in time order."""

    __tablename__ = "mfa_security_events"
    bounds = Bounds(
        per_account="of a kind that others can cause 10 an hour; else one for each change (60 an hour in a session),"
        " two for each sign-in",
        per_address="as its accounts",
        gone="365 days later; removed or made anonymous when its account is deleted",
    )
    __table_args__ = (Index(None, "user_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    kind: Mapped[str]
    at: Mapped[datetime] = mapped_column(index=True)
    ip_address: Mapped[str | None]
    user_agent: Mapped[str | None]


class Deletion(Base):
    """An account that is gone, whose security events are still to be erased.

    replacement_id: what they have in place of the account's id; null: they are removed.
    """

    __tablename__ = "mfa_deletions"
    bounds = Bounds(
        per_account="one",
        per_address="as its accounts",
        gone="the next purge has erased the account's events",
    )
    __table_args__ = (Index(None, "since", "user_id"),)

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    replacement_id: Mapped[UUID | None]
    since: Mapped[datetime]


class OutboxMessage(Base):
    """A security event that somebody is still to be told of; it outlives its account. Delivering it deletes the row.

    number: messages of one account are delivered in this order. sink: who is told.
    """

    __tablename__ = "mfa_outbox"
    bounds = Bounds(
        per_account="one for each security event and receiver",
        per_address="as its accounts",
        gone="delivered; 33 days later",
    )
    __table_args__ = (
        Index(None, "sink", "due_at"),
        # Of those that are not given up: what comes first for an account, and what last.
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
    # From when on it is tried, and how often it was. While it is being delivered, before its next try, and while it
    # waits for an earlier one of its account, due_at is in the future; it is null once the message is given up.
    since: Mapped[datetime] = mapped_column(index=True)
    attempts: Mapped[int]
    due_at: Mapped[datetime | None]


class ReservedName(Base):
    """The name of a deleted account, as a digest: it can't be registered for a while."""

    __tablename__ = "mfa_reserved_names"
    bounds = Bounds(
        per_account="one",
        per_address="as its accounts",
        gone="released by an operator; 30 days later",
    )

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(index=True)
