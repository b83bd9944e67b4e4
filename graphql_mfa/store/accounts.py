"""Accounts: register, find, lock, change, delete; and the reserved names of deleted ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    ScalarSelect,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from graphql_mfa.core.accounts import Account, Username, skeleton_digest
from graphql_mfa.core.tokens import Purpose, digest
from graphql_mfa.store import find_one, insert_by_engine, insert_unless_there, security_events, upsert
from graphql_mfa.store.models import PasskeyRow, RecoveryCodeRow, ReservedNameRow, SessionRow, TotpDeviceRow, UserRow

_unexpired = ReservedNameRow.ends_at > bindparam("now")
name_is_reserved = exists().where(ReservedNameRow.digest == bindparam("name_digest"), _unexpired)
_lookalike_is_reserved = exists().where(
    ReservedNameRow.digest.in_([bindparam("skeleton"), bindparam("key_skeleton")]), _unexpired
)
# Excludes accounts whose enrollment was abandoned: they count as deleted.
is_live = or_(UserRow.enrollment_expires_at.is_(None), UserRow.enrollment_expires_at > bindparam("now"))
that_name = UserRow.username_key == bindparam("name")
_looks_alike = UserRow.username_skeleton == bindparam("skeleton")
_that_user = UserRow.id == bindparam("user")
# Excludes accounts that an operator disabled too; their names stay taken.
may_sign_in = and_(is_live, UserRow.disabled_at.is_(None))


def _count(
    model: type[RecoveryCodeRow | SessionRow | TotpDeviceRow | PasskeyRow], *conditions: ColumnElement[bool]
) -> ScalarSelect[int]:
    """The number of the account's rows."""
    of_user = select(func.count()).where(model.user_id == UserRow.id, *conditions)
    return of_user.correlate(UserRow).scalar_subquery()


ACCOUNT_COLUMNS = (
    UserRow.id,
    UserRow.username,
    UserRow.created_at,
    UserRow.mfa_enabled_at.is_not(None).label("mfa_enabled"),
    _count(RecoveryCodeRow).label("recovery_codes_left"),
)
# While the enrollment is pending, the first device is not confirmed.
_can_answer = or_(TotpDeviceRow.confirmed_at.is_not(None), UserRow.mfa_enabled_at.is_(None))
_factor_counts = (_count(TotpDeviceRow, _can_answer).label("devices"), _count(PasskeyRow).label("passkeys"))
select_users = select(
    *ACCOUNT_COLUMNS,
    UserRow.username_key.label("key"),
    UserRow.password_hash,
    _count(SessionRow).label("sessions"),
    *_factor_counts,
    UserRow.enrollment_expires_at,
    UserRow.enrollment_code_digest,
    UserRow.otp_failures,
    UserRow.otp_blocked_until,
    UserRow.otp_disabled_at.is_not(None).label("otp_disabled"),
    UserRow.disabled_at.is_not(None).label("disabled"),
)
update_user = update(UserRow).where(_that_user)


@dataclass(frozen=True)
class StoredUser:
    """An account with all columns of its row. key: the username's key. sessions: the number of rows, expired ones
    included.

    devices: the number of authenticator apps that can answer a challenge. enrollment_expires_at: the end of a
    registration that its owner has not confirmed. enrollment_code_digest: the digest of the operator's code, if one was
    issued and the account was not confirmed since. disabled: whether an operator disabled it.
    """

    account: Account
    key: str
    password_hash: str
    sessions: int
    devices: int
    passkeys: int
    enrollment_expires_at: datetime | None
    enrollment_code_digest: bytes | None
    otp_failures: int
    otp_blocked_until: datetime | None
    otp_disabled: bool
    disabled: bool

    @property
    def id(self) -> UUID:
        """The account's id."""
        return self.account.id

    @property
    def needs_enrollment_code(self) -> bool:
        """Whether an enrollment takes an operator's code. A registration that expires and has no code takes none."""
        return self.enrollment_expires_at is None or self.enrollment_code_digest is not None

    @property
    def expects_codes(self) -> bool:
        """Whether a one-time code can be right: False for a confirmed account with passkeys alone."""
        return self.devices > 0 or not self.account.mfa_enabled

    def otp_wait(self, now: datetime) -> timedelta | None:
        """How long one-time codes are refused after wrong ones; None when they are not, or are off."""
        until = self.otp_blocked_until
        return until - now if until is not None and now < until and not self.otp_disabled else None


def add(
    connection: Connection,
    *,
    id: UUID,
    name: Username,
    password_hash: str,
    now: datetime,
    enrollment_expires_at: datetime,
) -> bool:
    """Register an account unless the name is taken, or looks like another account's."""
    row = {
        "id": id,
        "username": name.shown,
        "username_key": name.key,
        "skeleton": name.skeleton,
        "skeleton_lock": int.from_bytes(name.skeleton[:8], signed=True),
        "password_hash": password_hash,
        "created_at": now,
        "enrollment_expires_at": enrollment_expires_at,
    }
    insertion = _register(connection.dialect.name)
    added = _add(connection, lambda: connection.execute(insertion, row).rowcount == 1, id, name, now)
    if added is None:
        return False
    if added.lookalike:
        remove(connection, id)
    return not added.lookalike


@dataclass(frozen=True)
class Added:
    """An account was created. lookalike: whether another account's name, or a reserved one, looks like its own."""

    lookalike: bool


def import_row(connection: Connection, row: Mapping[str, Any], name: Username, now: datetime) -> Added | None:
    """Create an account of that name and with these columns, unless the name is taken or reserved."""
    names = {"username": name.shown, "username_key": name.key, "username_skeleton": name.skeleton}
    insert_row = partial(insert_unless_there, connection, UserRow, names | dict(row))
    return _add(connection, insert_row, row["id"], name, now)


_DELETE_ABANDONED = delete(UserRow).where(that_name, ~is_live).returning(UserRow.id)
_CONFLICTS = select(
    name_is_reserved.label("reserved"),
    or_(exists().where(_looks_alike, UserRow.id != bindparam("user"), is_live), _lookalike_is_reserved).label(
        "lookalike"
    ),
)


def _add(
    connection: Connection, insert_row: Callable[[], bool], id: UUID, name: Username, now: datetime
) -> Added | None:
    """Insert the row. The name of an abandoned registration is free."""
    if not insert_row():
        abandoned = connection.scalar(_DELETE_ABANDONED, {"name": name.key, "now": now})
        if abandoned is None:
            return None
        security_events.erase_events(connection, [abandoned], None, now)
        if not insert_row():
            return None
    # After the insertion: a transaction that deletes the account of that name locks the name until it is reserved, and
    # one that registers a name which looks like it has the lock of their skeleton.
    conflicts = connection.execute(_CONFLICTS, _digests(name) | {"user": id, "now": now}).one()
    if conflicts.reserved:
        remove(connection, id)
        return None
    return Added(lookalike=conflicts.lookalike)


@cache
def _register(dialect: str) -> Executable:
    """An insertion that waits for others of the same skeleton to be committed; SQLite has one writer anyway."""
    skeleton = select(bindparam("skeleton", type_=UserRow.username_skeleton.type))
    if dialect == "postgresql":
        lock = func.pg_advisory_xact_lock(bindparam("skeleton_lock", type_=BigInteger))
        skeleton = skeleton.select_from(lock)
    insertion: Executable = (
        insert_by_engine(dialect, UserRow).values(username_skeleton=skeleton.scalar_subquery()).on_conflict_do_nothing()
    )
    return insertion


_REMOVE = delete(UserRow).where(_that_user)


def remove(connection: Connection, id: UUID) -> None:
    """Delete the account and, by foreign keys, what belongs to it."""
    connection.execute(_REMOVE, {"user": id})


_IS_TAKEN = select(or_(exists().where(or_(that_name, _looks_alike), is_live), name_is_reserved, _lookalike_is_reserved))


def is_taken(connection: Connection, name: Username, now: datetime) -> bool:
    """Whether an account, or a recently deleted one, has that name or one that looks like it."""
    return bool(connection.scalar(_IS_TAKEN, _digests(name) | {"name": name.key, "now": now}))


def _digests(name: Username) -> dict[str, object]:
    return {
        "name_digest": name_digest(name.key),
        "skeleton": name.skeleton,
        "key_skeleton": skeleton_digest(name.key),
    }


_LOCK = select_users.where(_that_user, may_sign_in).with_for_update(of=UserRow)


def lock(connection: Connection, id: UUID, now: datetime) -> StoredUser | None:
    """Lock the account's row."""
    return find_one(connection, _LOCK, {"user": id, "now": now}, user_of)


_LOCK_BY_NAME = select_users.where(that_name, may_sign_in).with_for_update(of=UserRow)


def lock_by_name(connection: Connection, key: str, now: datetime) -> StoredUser | None:
    """Lock the row of the account of that name."""
    return find_one(connection, _LOCK_BY_NAME, {"name": key, "now": now}, user_of)


def user_of(
    id: UUID, username: str, created_at: datetime, mfa_enabled: bool, recovery_codes_left: int, **columns: Any
) -> StoredUser:
    """The account in the columns of `select_users`."""
    return StoredUser(Account(id, username, created_at, mfa_enabled, recovery_codes_left), **columns)


@dataclass(frozen=True)
class FactorCounts:
    """Confirmed authenticator apps, and passkeys."""

    devices: int
    passkeys: int


_COUNT_FACTORS = select(*_factor_counts).where(_that_user)


def count_factors(connection: Connection, id: UUID) -> FactorCounts:
    """Count the factors of a confirmed account whose row is locked.

    PostgreSQL waits for the lock in the statement of `lock`, whose own counts are those from before it waited.
    """
    return FactorCounts(**connection.execute(_COUNT_FACTORS, {"user": id}).mappings().one())


_FIND = select(*ACCOUNT_COLUMNS).where(_that_user)


def find(connection: Connection, id: UUID) -> Account:
    """The account of that id, which exists."""
    return Account(**connection.execute(_FIND, {"user": id}).mappings().one())


def replace_password_hash(connection: Connection, id: UUID, new: str) -> None:
    """Store another hash for an account whose row is locked."""
    connection.execute(update_user, {"user": id, "password_hash": new})


_IS_ENABLED = select(UserRow.mfa_enabled_at.is_not(None)).where(_that_user)


def is_enabled(connection: Connection, id: UUID) -> bool:
    """Whether the account exists and verified a second factor."""
    return bool(connection.scalar(_IS_ENABLED, {"user": id}))


def enable_mfa(connection: Connection, id: UUID, now: datetime) -> None:
    """Confirm the account's enrollment: it no longer expires, and the operator's enrollment code is used up."""
    columns = {"mfa_enabled_at": now, "enrollment_expires_at": None, "enrollment_code_digest": None}
    connection.execute(update_user, {"user": id, **columns})


def name_digest(key: str) -> bytes:
    """The digest by which a deleted account's name stays reserved."""
    return digest(Purpose.RESERVED_NAME, key)


def reserve_name(connection: Connection, key: str, ends_at: datetime) -> None:
    """Reserve the name, and those that look like it, until then."""
    reserved = [{"digest": digest, "ends_at": ends_at} for digest in _reserved_digests(key)]
    # Accounts whose names look alike can be deleted at the same moment.
    connection.execute(upsert(connection.dialect.name, ReservedNameRow, "ends_at"), reserved)


_RELEASE_NAME = delete(ReservedNameRow).where(ReservedNameRow.digest == bindparam("name_digest"), _unexpired)


def release_name(connection: Connection, key: str, now: datetime) -> bool:
    """End the reservation of a name. Returns False if it is not reserved."""
    released = [
        connection.execute(_RELEASE_NAME, {"name_digest": digest, "now": now}).rowcount
        for digest in _reserved_digests(key)
    ]
    return any(released)


def _reserved_digests(key: str) -> list[bytes]:
    # In one order of locks, so that two deletions don't wait for each other.
    return sorted((name_digest(key), skeleton_digest(key)))


_IS_RESERVED = select(name_is_reserved)


def is_reserved(connection: Connection, key: str, now: datetime) -> bool:
    """Whether the name is reserved, because its account was recently deleted."""
    return bool(connection.scalar(_IS_RESERVED, {"name_digest": name_digest(key), "now": now}))
