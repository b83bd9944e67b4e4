"""Accounts: find, lock, change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased

from graphql_mfa.core.accounts import Account
from graphql_mfa.core.usernames import Username
from graphql_mfa.store import deletions, reserved_names
from graphql_mfa.store.inserts import insert_by_engine, insert_unless_there
from graphql_mfa.store.models import Challenge, KnownAddress, OtpFailure, RecoveryCode, Session, User

_KNOWN_ADDRESSES = 50  # of an account; homes, offices and phones of many months

_recovery_codes_left = (
    select(func.count())
    .select_from(RecoveryCode)
    .where(RecoveryCode.user_id == User.id)
    .correlate(User)
    .scalar_subquery()
    .label("recovery_codes_left")
)
ACCOUNT_COLUMNS = (User.id, User.username, User.created_at, User.mfa_enabled_at, _recovery_codes_left)

# Not an account whose enrollment was abandoned, which is as good as deleted.
is_live = or_(User.enrollment_expires_at.is_(None), User.enrollment_expires_at > bindparam("now"))
# Nor one that an operator disabled: its name stays taken.
_may_sign_in = and_(is_live, User.disabled_at.is_(None))
_that_user = User.id == bindparam("user")
_that_name = User.username_key == bindparam("name")
_change = update(User).where(_that_user)

_DELETE_ABANDONED = delete(User).where(_that_name, ~is_live).returning(User.id)
_looks_alike = User.username_skeleton == bindparam("skeleton")
_IS_TAKEN = select(or_(exists().where(or_(_that_name, _looks_alike), is_live), reserved_names.name_is_reserved))
_CONFLICTS = select(
    reserved_names.name_is_reserved.label("reserved"),
    exists().where(_looks_alike, User.id != bindparam("user"), is_live).label("lookalike"),
)
_knows_address = exists().where(KnownAddress.user_id == User.id, KnownAddress.address == bindparam("address"))
_FIND_FOR_LOGIN = select(User.id, User.password_hash, _knows_address.label("knows_address")).where(
    _that_name, _may_sign_in
)
_sessions = select(func.count()).select_from(Session).where(Session.user_id == User.id).correlate(User)
_lockable = select(
    *ACCOUNT_COLUMNS,
    _sessions.scalar_subquery().label("sessions"),
    User.password_hash,
    User.enrollment_expires_at,
    User.enrollment_code_digest,
    User.otp_failures,
    User.otp_blocked_until,
    User.otp_disabled_at,
).where(_may_sign_in)
_LOCK = _lockable.where(_that_user).with_for_update(of=User)
# Within a day, so that `last_used_at` is too old by a day at most; which address was used last is exact.
_latest_address = (
    select(KnownAddress.address)
    .where(KnownAddress.user_id == User.id, KnownAddress.last_used_at > bindparam("yesterday"))
    .order_by(KnownAddress.last_used_at.desc())
    .limit(1)
    .correlate(User)
    .scalar_subquery()
)
# Both, so that PostgreSQL looks at both again after it had to wait: the challenge may have been answered meanwhile.
_LOCK_BY_CHALLENGE = (
    _lockable.add_columns(Challenge.attempts, _latest_address.label("latest_address"))
    .join(Challenge, Challenge.user_id == User.id)
    .where(
        Challenge.digest == bindparam("challenge"),
        Challenge.expires_at > bindparam("now"),
        Challenge.attempts < bindparam("attempts"),
    )
    .with_for_update(of=[User, Challenge])
)
_LOCK_BY_NAME = _lockable.where(_that_name).with_for_update(of=User)
_REMOVE = delete(User).where(_that_user)
_FIND = select(*ACCOUNT_COLUMNS).where(_that_user)
_REPLACE_PASSWORD_HASH = _change.values(password_hash=bindparam("new_hash"))
_ENABLE_MFA = _change.values(mfa_enabled_at=bindparam("now"), enrollment_expires_at=None, enrollment_code_digest=None)
_ADD_OTP_FAILURE = insert(OtpFailure)
_COUNT_OTP_FAILURES = (
    select(func.count())
    .select_from(OtpFailure)
    .where(OtpFailure.user_id == bindparam("user"), OtpFailure.at > bindparam("since"))
)
_SET_OTP_STATE = _change.values(
    otp_failures=bindparam("in_a_row"),
    otp_blocked_until=bindparam("wait_ends_at"),
    otp_disabled_at=bindparam("off_since"),
)
_FORGET_OTP_FAILURES = delete(OtpFailure).where(OtpFailure.user_id == bindparam("user"))
_known = aliased(KnownAddress)
_of_user = _known.user_id == bindparam("of")
_other_addresses = (
    select(func.count()).select_from(_known).where(_of_user, _known.address != bindparam("this")).scalar_subquery()
)
_used_last = select(_known.address).where(_of_user).order_by(_known.last_used_at.desc()).limit(_KNOWN_ADDRESSES)
_FORGET_ADDRESSES = delete(KnownAddress).where(
    KnownAddress.user_id == bindparam("user"), KnownAddress.address.not_in(_used_last)
)
_ADDRESSES = select(KnownAddress.address).where(KnownAddress.user_id == bindparam("user"))
_KEEP = select(User.id).where(_that_user).with_for_update(read=True, key_share=True)


def account_of(row: "Row[*tuple[object, ...]]") -> Account:
    """The account in a row that selected ACCOUNT_COLUMNS."""
    return Account(
        id=row.id,
        username=row.username,
        created_at=row.created_at,
        mfa_enabled=row.mfa_enabled_at is not None,
        recovery_codes_left=row.recovery_codes_left,
    )


@dataclass(frozen=True)
class LockedUser:
    """An account whose row the transaction holds. sessions: rows of its sessions, those that expired included.

    enrollment_code_digest: of the operator's code, if one was issued and the account was not confirmed since.
    """

    account: Account
    sessions: int
    password_hash: str
    needs_enrollment_code: bool
    enrollment_code_digest: bytes | None
    otp_failures: int
    otp_blocked_until: datetime | None
    otp_disabled: bool

    @property
    def id(self) -> UUID:
        """The account's id."""
        return self.account.id

    def otp_wait(self, now: datetime) -> timedelta | None:
        """How long one-time codes have to wait, if they do; codes that are off wait for nothing."""
        until = self.otp_blocked_until
        return until - now if until is not None and now < until and not self.otp_disabled else None


@dataclass(frozen=True)
class LockedChallenge:
    """An open challenge and its account, whose rows the transaction holds.

    attempts_left: how many answers are left if this one is wrong. latest_address: from where the account signed in
    last, if that was within a day.
    """

    user: LockedUser
    attempts_left: int
    latest_address: str | None


@dataclass(frozen=True)
class LoginCandidate:
    """What a password is compared with."""

    id: UUID
    password_hash: str
    knows_address: bool


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
        "otp_failures": 0,
    }
    insertion = _register(connection.dialect.name)
    added = _add(connection, lambda: connection.execute(insertion, row).rowcount, id, name, now)
    if added is None:
        return False
    if added.lookalike:
        remove(connection, id)
    return not added.lookalike


@dataclass(frozen=True)
class Added:
    """An account was created. lookalike: whether another account's name looks like its own."""

    lookalike: bool


def import_row(connection: Connection, row: Mapping[str, Any], name: Username, now: datetime) -> Added | None:
    """Create an account of that name and with these columns, unless the name is taken or reserved."""
    names = {"username": name.shown, "username_key": name.key, "username_skeleton": name.skeleton}
    insert_row = partial(insert_unless_there, connection, User, [names | dict(row)])
    return _add(connection, insert_row, row["id"], name, now)


def _add(
    connection: Connection, insert_row: Callable[[], int], id: UUID, name: Username, now: datetime
) -> Added | None:
    """The name of an abandoned account is free."""
    if not insert_row():
        abandoned = connection.scalar(_DELETE_ABANDONED, {"name": name.key, "now": now})
        if abandoned is None:
            return None
        deletions.erase_events(connection, abandoned, None, now)
        if not insert_row():
            return None
    # After the insertion: a transaction that deletes the account of that name holds the name until it is reserved, and
    # one that registers a name which looks like it holds the lock of their skeleton.
    digest = reserved_names.name_digest(name.key)
    given = {"name_digest": digest, "skeleton": name.skeleton, "user": id, "now": now}
    conflicts = connection.execute(_CONFLICTS, given).one()
    if conflicts.reserved:
        remove(connection, id)
        return None
    return Added(lookalike=conflicts.lookalike)


@cache
def _register(dialect: str) -> Executable:
    """An insertion that waits for others of the same skeleton to be committed; SQLite has one writer anyway."""
    skeleton = select(bindparam("skeleton", type_=User.username_skeleton.type))
    if dialect == "postgresql":
        lock = func.pg_advisory_xact_lock(bindparam("skeleton_lock", type_=BigInteger))
        skeleton = skeleton.select_from(lock)
    insertion: Executable = (
        insert_by_engine(dialect, User).values(username_skeleton=skeleton.scalar_subquery()).on_conflict_do_nothing()
    )
    return insertion


def remove(connection: Connection, id: UUID) -> None:
    """Delete the account and all that hangs on it."""
    connection.execute(_REMOVE, {"user": id})


def is_taken(connection: Connection, name: Username, now: datetime) -> bool:
    """Whether an account has that name or one that looks like it, or one that was deleted lately had it."""
    digest = reserved_names.name_digest(name.key)
    given = {"name": name.key, "skeleton": name.skeleton, "name_digest": digest, "now": now}
    return bool(connection.scalar(_IS_TAKEN, given))


def find_for_login(connection: Connection, key: str, address: str, now: datetime) -> LoginCandidate | None:
    """The account of that name, and whether it ever signed in from that address."""
    row = connection.execute(_FIND_FOR_LOGIN, {"name": key, "address": address, "now": now}).one_or_none()
    return None if row is None else LoginCandidate(row.id, row.password_hash, bool(row.knows_address))


def lock(connection: Connection, id: UUID, now: datetime) -> LockedUser | None:
    """Hold the account's row until the transaction ends."""
    return _lock(connection, _LOCK, {"user": id, "now": now})


def lock_by_challenge(connection: Connection, digest: bytes, now: datetime, attempts: int) -> LockedChallenge | None:
    """Hold the row of the account whose open challenge that is, and the challenge's. attempts: answers it may have."""
    given = {"challenge": digest, "now": now, "attempts": attempts, "yesterday": now - timedelta(days=1)}
    row = connection.execute(_LOCK_BY_CHALLENGE, given).one_or_none()
    return None if row is None else LockedChallenge(_locked(row), attempts - row.attempts - 1, row.latest_address)


def lock_by_name(connection: Connection, key: str, now: datetime) -> LockedUser | None:
    """Hold the row of the account of that name until the transaction ends."""
    return _lock(connection, _LOCK_BY_NAME, {"name": key, "now": now})


def _lock(connection: Connection, query: Executable, given: Mapping[str, Any]) -> LockedUser | None:
    row = connection.execute(query, given).one_or_none()
    return None if row is None else _locked(row)


def _locked(row: "Row[*tuple[Any, ...]]") -> LockedUser:
    return LockedUser(
        account=account_of(row),
        sessions=row.sessions,
        password_hash=row.password_hash,
        # Only an account that its owner registered, and has a day to confirm, is enrolled with the password alone.
        needs_enrollment_code=row.enrollment_expires_at is None or row.enrollment_code_digest is not None,
        enrollment_code_digest=row.enrollment_code_digest,
        otp_failures=row.otp_failures,
        otp_blocked_until=row.otp_blocked_until,
        otp_disabled=row.otp_disabled_at is not None,
    )


def find(connection: Connection, id: UUID) -> Account:
    """The account of that id, which exists."""
    return account_of(connection.execute(_FIND, {"user": id}).one())


def replace_password_hash(connection: Connection, id: UUID, new: str) -> None:
    """Store another hash for an account whose row the transaction holds."""
    connection.execute(_REPLACE_PASSWORD_HASH, {"user": id, "new_hash": new})


def enable_mfa(connection: Connection, id: UUID, now: datetime) -> None:
    """The account verified its first code: it stays, and the operator's enrollment code is used up."""
    connection.execute(_ENABLE_MFA, {"user": id, "now": now})


def add_otp_failure(connection: Connection, id: UUID, failure_id: UUID, now: datetime, since: datetime) -> int:
    """Remember a wrong code; return how many there were since then."""
    connection.execute(_ADD_OTP_FAILURE, {"id": failure_id, "user_id": id, "at": now})
    return count_otp_failures(connection, id, since)


def count_otp_failures(connection: Connection, id: UUID, since: datetime) -> int:
    """How many wrong codes there were since then."""
    return connection.scalar(_COUNT_OTP_FAILURES, {"user": id, "since": since}) or 0


def set_otp_state(
    connection: Connection,
    id: UUID,
    *,
    failures: int = 0,
    blocked_until: datetime | None = None,
    disabled_at: datetime | None = None,
) -> None:
    """Set wrong codes in a row, the wait they made, and whether codes are off."""
    state = {"in_a_row": failures, "wait_ends_at": blocked_until, "off_since": disabled_at}
    connection.execute(_SET_OTP_STATE, {"user": id} | state)


def forget_otp_failures(connection: Connection, id: UUID) -> None:
    """The account has a new secret or password: guesses count no more that were made at the old, or knowing it."""
    connection.execute(_FORGET_OTP_FAILURES, {"user": id})
    set_otp_state(connection, id)


def remember_address(connection: Connection, id: UUID, address: str, now: datetime) -> None:
    """Store when the account signed in from there. Beyond 50 addresses the least recently used ones are deleted."""
    given = {"user_id": id, "address": address, "last_used_at": now, "of": id, "this": address}
    others = connection.scalar(_remember_address(connection.dialect.name), given) or 0
    if others >= _KNOWN_ADDRESSES:
        connection.execute(_FORGET_ADDRESSES, {"user": id, "of": id})


@cache
def _remember_address(dialect: str) -> Executable:
    """An upsert that returns how many other addresses the account has."""
    insertion = insert_by_engine(dialect, KnownAddress)
    upsert: Executable = insertion.on_conflict_do_update(
        index_elements=[KnownAddress.user_id, KnownAddress.address],
        set_={"last_used_at": insertion.excluded.last_used_at},
    ).returning(_other_addresses)
    return upsert


def known_addresses(connection: Connection, id: UUID) -> list[str]:
    """From where the account signed in."""
    return list(connection.scalars(_ADDRESSES, {"user": id}))


def keep(connection: Connection, id: UUID) -> bool:
    """Whether the account is there; if so, nobody deletes it until the transaction ends."""
    return connection.execute(_KEEP, {"user": id}).one_or_none() is not None
