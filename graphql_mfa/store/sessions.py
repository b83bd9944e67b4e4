"""Sessions: open, find, rotate, end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, delete, insert, or_, select, update

from graphql_mfa.core.accounts import PASSWORD_METHOD, Account, FactorKind, Proof
from graphql_mfa.store import columns_of, find_all, find_one
from graphql_mfa.store.accounts import ACCOUNT_COLUMNS
from graphql_mfa.store.models import SessionRow, UsedRefreshTokenRow, UserRow

lives = SessionRow.expires_at > bindparam("now")
_of_user = and_(SessionRow.user_id == bindparam("user"), lives)
_own = and_(SessionRow.id == bindparam("session"), _of_user)
_others = and_(SessionRow.id != bindparam("session"), _of_user)
_is_current = SessionRow.refresh_digest == bindparam("token")
# A scalar, so that PostgreSQL combines three indexes; with IN it would scan the table.
_earlier = (
    select(UsedRefreshTokenRow.session_id).where(UsedRefreshTokenRow.digest == bindparam("token")).scalar_subquery()
)
_is_of_token = and_(
    or_(_is_current, SessionRow.family_digest == bindparam("family"), SessionRow.id == _earlier),
    lives,
)
_UPDATE = update(SessionRow).where(SessionRow.id == bindparam("session"))


@dataclass(frozen=True)
class StoredSession:
    """A session and its current pair of tokens.

    ends_at: the absolute end. expires_at: the earlier end, unless the session is refreshed. retry_digest: the digest of
    the refresh that made the pair, if the client sent a key. methods: authentication methods (RFC 8176). opened_by,
    verified_by: the authenticator apps or passkeys that opened it and were verified last. user_verified: whether the
    last one was a passkey that verified its user. stale_since: since when the verified factor no longer allows
    sensitive operations.
    """

    id: UUID
    user_id: UUID
    created_at: datetime
    authenticated_at: datetime
    factors: tuple[FactorKind, ...]
    ends_at: datetime
    expires_at: datetime
    generation: int
    refreshed_at: datetime
    key_id: bytes
    refresh_digest: bytes
    family_digest: bytes | None
    ip_address: str | None
    user_agent: str | None
    methods: tuple[str, ...]
    retry_digest: bytes | None = None
    refreshes: int = 0
    refresh_window_ends_at: datetime | None = None
    opened_by: UUID | None = None
    verified_by: UUID | None = None
    user_verified: bool = False
    stale_since: datetime | None = None

    @property
    def by_password(self) -> bool:
        """Whether it began with a password, and not with a passkey alone."""
        return PASSWORD_METHOD in self.methods


@dataclass(frozen=True)
class TokenOwner:
    """The session that a refresh token belongs to. is_current: False for a token that was traded in."""

    session_id: UUID
    user_id: UUID
    is_current: bool


_select = select(*columns_of(SessionRow, StoredSession))


def _session_of(factors: tuple[FactorKind, ...], methods: tuple[str, ...] | None, **columns: Any) -> StoredSession:
    if not methods:  # an earlier release opened it
        methods = (PASSWORD_METHOD, *(method for factor in factors for method in Proof(factor).methods))
    return StoredSession(factors=factors, methods=methods, **columns)


_ADD = insert(SessionRow)


def add(connection: Connection, session: StoredSession) -> None:
    """Open a session."""
    connection.execute(_ADD, vars(session))


_beyond = (
    select(SessionRow.id)
    .where(_of_user)
    .order_by(SessionRow.refreshed_at.desc(), SessionRow.id)
    .offset(bindparam("most"))
)
_END_BEYOND = delete(SessionRow).where(SessionRow.id.in_(_beyond))


def end_beyond(connection: Connection, user_id: UUID, now: datetime, most: int) -> None:
    """End the account's live sessions but the `most` used last. The account's row is locked."""
    connection.execute(_END_BEYOND, {"user": user_id, "now": now, "most": most})


_FIND_ACCOUNT = (
    select(*ACCOUNT_COLUMNS, SessionRow.authenticated_at, SessionRow.stale_since)
    .join(SessionRow, SessionRow.user_id == UserRow.id)
    .where(_own)
)


def find_account(
    connection: Connection, id: UUID, user_id: UUID, now: datetime
) -> tuple[Account, datetime, bool] | None:
    """The account, if the session is live and its own; when it verified a factor, and whether that still counts."""
    given = {"session": id, "user": user_id, "now": now}
    return find_one(connection, _FIND_ACCOUNT, given, _account_of)


def _account_of(
    authenticated_at: datetime, stale_since: datetime | None, **account: Any
) -> tuple[Account, datetime, bool]:
    return Account(**account), authenticated_at, stale_since is None


_LOCK = _select.where(_own).with_for_update()


def lock(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> StoredSession | None:
    """Lock the live session of that account; None when it has ended."""
    return find_one(connection, _LOCK, {"session": id, "user": user_id, "now": now}, _session_of)


_LOCK_BY_REFRESH_TOKEN = _select.where(_is_of_token).with_for_update()


def lock_by_refresh_token(connection: Connection, digest: bytes, family: bytes, now: datetime) -> StoredSession | None:
    """Lock the live session that the token belongs to, or belonged to before it was traded in."""
    given = {"token": digest, "family": family, "now": now}
    return find_one(connection, _LOCK_BY_REFRESH_TOKEN, given, _session_of)


_ROTATED = (
    "refresh_digest",
    "family_digest",
    "retry_digest",
    "generation",
    "refreshed_at",
    "key_id",
    "expires_at",
    "ip_address",
    "user_agent",
    "refreshes",
    "refresh_window_ends_at",
)
_ROTATE = _UPDATE.where(SessionRow.refresh_digest == bindparam("old_digest")).returning(SessionRow.id)


def rotate(connection: Connection, session: StoredSession, rotated: StoredSession) -> None:
    """Replace the current pair of a session whose row is locked, or store that it was issued again."""
    given = {"session": session.id, "old_digest": session.refresh_digest}
    given |= {name: getattr(rotated, name) for name in _ROTATED}
    connection.execute(_ROTATE, given).one()


_FIND_BY_REFRESH_TOKEN = select(
    SessionRow.id.label("session_id"), SessionRow.user_id, _is_current.label("is_current")
).where(_is_of_token)


def find_by_refresh_token(connection: Connection, digest: bytes, family: bytes, now: datetime) -> TokenOwner | None:
    """The live session that the token belongs to, or belonged to before it was traded in."""
    given = {"token": digest, "family": family, "now": now}
    return find_one(connection, _FIND_BY_REFRESH_TOKEN, given, TokenOwner)


def reauthenticate(connection: Connection, session: StoredSession) -> None:
    """A second factor was verified again. The session's row is locked."""
    given = {
        "session": session.id,
        "authenticated_at": session.authenticated_at,
        "factors": session.factors,
        "methods": session.methods,
        "verified_by": session.verified_by,
        "user_verified": session.user_verified,
        "stale_since": None,
    }
    connection.execute(_UPDATE, given)


_END = delete(SessionRow).where(SessionRow.id == bindparam("session"))


def end(connection: Connection, id: UUID) -> int:
    """End one session; return how many were ended."""
    return connection.execute(_END, {"session": id}).rowcount


_END_ALL = delete(SessionRow).where(_of_user)


def end_all(connection: Connection, user_id: UUID, now: datetime) -> int:
    """End every live session of the account; return how many were ended."""
    return connection.execute(_END_ALL, {"user": user_id, "now": now}).rowcount


_END_OTHERS = delete(SessionRow).where(_others)


def end_others(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> int:
    """End every live session of the account but that one; return how many were ended."""
    return connection.execute(_END_OTHERS, {"session": id, "user": user_id, "now": now}).rowcount


_END_OTHERS_OF_FACTOR = _END_OTHERS.where(
    or_(SessionRow.opened_by == bindparam("factor_id"), SessionRow.verified_by == bindparam("factor_id"))
)


def end_others_of_factor(connection: Connection, factor_id: UUID, id: UUID, user_id: UUID, now: datetime) -> int:
    """End the account's other live sessions that the app or passkey opened or verified last; return how many."""
    given = {"factor_id": factor_id, "session": id, "user": user_id, "now": now}
    return connection.execute(_END_OTHERS_OF_FACTOR, given).rowcount


def make_stale(connection: Connection, id: UUID, now: datetime) -> None:
    """Require another second factor of that session before sensitive operations."""
    connection.execute(_UPDATE, {"session": id, "stale_since": now})


_MAKE_OTHERS_STALE = update(SessionRow).where(_others, SessionRow.stale_since.is_(None))


def make_others_stale(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> None:
    """Require another second factor of every other live session of the account before sensitive operations."""
    given = {"session": id, "user": user_id, "now": now, "stale_since": now}
    connection.execute(_MAKE_OTHERS_STALE, given)


_USED_LAST = _select.where(_of_user).order_by(SessionRow.refreshed_at.desc(), SessionRow.id).limit(bindparam("rows"))


def used_last(connection: Connection, user_id: UUID, now: datetime, rows: int) -> list[StoredSession]:
    """The account's live sessions, newest use first, up to `rows`."""
    return find_all(connection, _USED_LAST, {"user": user_id, "now": now, "rows": rows}, _session_of)


_END_OWN = delete(SessionRow).where(_own)


def end_own(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> bool:
    """End a live session if it is the account's."""
    return connection.execute(_END_OWN, {"session": id, "user": user_id, "now": now}).rowcount == 1
