"""Sessions: open, find, rotate, count, end."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    String,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from graphql_mfa.core.accounts import Account, FactorKind
from graphql_mfa.store.models import Session, UsedRefreshToken, User, UtcDateTime
from graphql_mfa.store.users import ACCOUNT_COLUMNS, account_of


@dataclass(frozen=True)
class StoredSession:
    """A session and its current pair of tokens.

    authenticated_at, factors: when a second factor was verified last, and which ones were. ends_at: the absolute end.
    expires_at: the earlier one unless the session is refreshed. generation, refreshed_at, key_id: the number of the
    current pair, when it was made and with which key.
    """

    id: UUID
    user_id: UUID
    authenticated_at: datetime
    factors: tuple[FactorKind, ...]
    ends_at: datetime
    expires_at: datetime
    generation: int
    refreshed_at: datetime
    key_id: bytes


@dataclass(frozen=True)
class TokenOwner:
    """The session that a refresh token belongs to. is_current: False for a token that was traded in."""

    session_id: UUID
    user_id: UUID
    is_current: bool


@dataclass(frozen=True)
class ListedSession:
    """A live session as its user may see it. last_used_at: when it was opened or refreshed last, by that client."""

    id: UUID
    created_at: datetime
    last_used_at: datetime
    authenticated_at: datetime
    factors: tuple[FactorKind, ...]
    ip_address: str | None
    user_agent: str | None


_COLUMNS = (
    Session.id,
    Session.user_id,
    Session.authenticated_at,
    Session.factors,
    Session.ends_at,
    Session.expires_at,
    Session.generation,
    Session.refreshed_at,
    Session.key_id,
)
_lives = Session.expires_at > bindparam("now")
_idle_end: ColumnElement[datetime] = bindparam("idle_end", type_=UtcDateTime)
_ADD = insert(Session)
_FIND_ACCOUNT = (
    select(*ACCOUNT_COLUMNS, Session.authenticated_at)
    .join(Session, Session.user_id == User.id)
    .where(Session.id == bindparam("session"), _lives)
)
_HOLD = (
    select(*_COLUMNS)
    .where(Session.id == bindparam("session"), Session.user_id == bindparam("user"), _lives)
    .with_for_update()
)
_ROTATE = (
    update(Session)
    .where(Session.refresh_digest == bindparam("old_digest"), _lives)
    .values(
        refresh_digest=bindparam("new_digest"),
        generation=Session.generation + 1,
        refreshed_at=bindparam("now"),
        key_id=bindparam("new_key"),
        expires_at=case((Session.ends_at < _idle_end, Session.ends_at), else_=_idle_end),
        ip_address=bindparam("from_address", type_=String),
        user_agent=bindparam("from_agent", type_=String),
    )
    .returning(*_COLUMNS)
)
_ADD_USED_TOKEN = insert(UsedRefreshToken)
_FIND_BY_USED_TOKEN = (
    select(*_COLUMNS, UsedRefreshToken.generation.label("used_generation"))
    .join(UsedRefreshToken, UsedRefreshToken.session_id == Session.id)
    .where(UsedRefreshToken.digest == bindparam("token"), _lives)
    .with_for_update(of=Session)
)
_used = select(UsedRefreshToken.session_id).where(UsedRefreshToken.digest == bindparam("token"))
_is_current = Session.refresh_digest == bindparam("token")
_FIND_BY_REFRESH_TOKEN = select(Session.id, Session.user_id, _is_current.label("is_current")).where(
    or_(_is_current, Session.id.in_(_used)), _lives
)
_COUNT_BY_KEY = (
    select(Session.key_id, func.count().label("sessions"))
    .where(_lives, Session.refreshed_at > bindparam("since"))
    .group_by(Session.key_id)
)
_REAUTHENTICATE = (
    update(Session)
    .where(Session.id == bindparam("session"))
    .values(authenticated_at=bindparam("at"), factors=bindparam("verified"))
)
_END = delete(Session).where(Session.id == bindparam("session"))
_END_ALL = delete(Session).where(Session.user_id == bindparam("user"), _lives)
_END_OTHERS = _END_ALL.where(Session.id != bindparam("session"))
_USED_LAST = (
    select(
        Session.id,
        Session.created_at,
        Session.refreshed_at,
        Session.authenticated_at,
        Session.factors,
        Session.ip_address,
        Session.user_agent,
    )
    .where(Session.user_id == bindparam("user"), _lives)
    .order_by(Session.refreshed_at.desc(), Session.id)
    .limit(bindparam("rows"))
)
_END_OWN = _END_ALL.where(Session.id == bindparam("session"))


def _session_of(row: "Row[*tuple[object, ...]]") -> StoredSession:
    return StoredSession(
        id=row.id,
        user_id=row.user_id,
        authenticated_at=row.authenticated_at,
        factors=_factors_of(row.factors),
        ends_at=row.ends_at,
        expires_at=row.expires_at,
        generation=row.generation,
        refreshed_at=row.refreshed_at,
        key_id=row.key_id,
    )


def _factors_of(names: str) -> tuple[FactorKind, ...]:
    return tuple(FactorKind(name) for name in names.split())


def _names_of(factors: Iterable[FactorKind]) -> str:
    return " ".join(factor.value for factor in factors)


def add(
    connection: Connection,
    session: StoredSession,
    refresh_digest: bytes,
    ip_address: str | None,
    user_agent: str | None,
) -> None:
    """Open a session for a client."""
    values = {column.key: getattr(session, column.key) for column in _COLUMNS} | {
        "factors": _names_of(session.factors),
        "ip_address": ip_address,
        "user_agent": user_agent,
        "created_at": session.authenticated_at,
        "refresh_digest": refresh_digest,
    }
    connection.execute(_ADD, values)


def find_account(connection: Connection, id: UUID, now: datetime) -> tuple[Account, datetime] | None:
    """The account that is signed in by that live session, and when that verified a second factor."""
    row = connection.execute(_FIND_ACCOUNT, {"session": id, "now": now}).one_or_none()
    return None if row is None else (account_of(row), row.authenticated_at)


def hold(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> StoredSession | None:
    """Hold the live session of that account until the transaction ends. None when it is over."""
    row = connection.execute(_HOLD, {"session": id, "user": user_id, "now": now}).one_or_none()
    return None if row is None else _session_of(row)


def rotate(
    connection: Connection,
    old_digest: bytes,
    new_digest: bytes,
    *,
    key_id: bytes,
    now: datetime,
    idle_end: datetime,
    ip_address: str | None,
    user_agent: str | None,
) -> StoredSession | None:
    """Trade the current refresh token in: for exactly one caller. None when it is not current, or its session over."""
    given = {
        "old_digest": old_digest,
        "new_digest": new_digest,
        "new_key": key_id,
        "now": now,
        "idle_end": idle_end,
        "from_address": ip_address,
        "from_agent": user_agent,
    }
    row = connection.execute(_ROTATE, given).one_or_none()
    if row is None:
        return None
    session = _session_of(row)
    used = {"digest": old_digest, "session_id": session.id, "generation": session.generation - 1}
    connection.execute(_ADD_USED_TOKEN, used)
    return session


def find_by_used_token(connection: Connection, digest: bytes, now: datetime) -> tuple[StoredSession, int] | None:
    """Hold the live session that the token once belonged to; return it, and the token's number in it."""
    row = connection.execute(_FIND_BY_USED_TOKEN, {"token": digest, "now": now}).one_or_none()
    return None if row is None else (_session_of(row), row.used_generation)


def find_by_refresh_token(connection: Connection, digest: bytes, now: datetime) -> TokenOwner | None:
    """Whose the token is, used or not, if its session lives."""
    row = connection.execute(_FIND_BY_REFRESH_TOKEN, {"token": digest, "now": now}).one_or_none()
    return None if row is None else TokenOwner(row.id, row.user_id, bool(row.is_current))


def count_by_key(connection: Connection, now: datetime, since: datetime) -> dict[bytes, int]:
    """How many live sessions have tokens that were made with each key, and after `since`."""
    return {row.key_id: row.sessions for row in connection.execute(_COUNT_BY_KEY, {"now": now, "since": since})}


def reauthenticate(connection: Connection, session: StoredSession) -> None:
    """A second factor was verified again. The caller holds the session."""
    given = {"session": session.id, "at": session.authenticated_at, "verified": _names_of(session.factors)}
    connection.execute(_REAUTHENTICATE, given)


def end(connection: Connection, id: UUID) -> int:
    """End one session; return how many were ended."""
    return connection.execute(_END, {"session": id}).rowcount


def end_all(connection: Connection, user_id: UUID, now: datetime) -> int:
    """End every live session of the account; return how many were ended."""
    return connection.execute(_END_ALL, {"user": user_id, "now": now}).rowcount


def end_others(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> int:
    """End every live session of the account but that one; return how many were ended."""
    return connection.execute(_END_OTHERS, {"session": id, "user": user_id, "now": now}).rowcount


def used_last(connection: Connection, user_id: UUID, now: datetime, rows: int) -> list[ListedSession]:
    """The account's live sessions, newest use first, up to so many."""
    return [
        ListedSession(
            id=row.id,
            created_at=row.created_at,
            last_used_at=row.refreshed_at,
            authenticated_at=row.authenticated_at,
            factors=_factors_of(row.factors),
            ip_address=row.ip_address,
            user_agent=row.user_agent,
        )
        for row in connection.execute(_USED_LAST, {"user": user_id, "now": now, "rows": rows})
    ]


def end_own(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> bool:
    """End a live session if it is the account's."""
    return connection.execute(_END_OWN, {"session": id, "user": user_id, "now": now}).rowcount == 1
