"""Sessions: open, find, rotate, end."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, insert, or_, select, update

from graphql_mfa.core.accounts import PASSWORD_METHOD, Account, FactorKind, Proof
from graphql_mfa.store.accounts import ACCOUNT_COLUMNS, account_of
from graphql_mfa.store.models import SessionRow, UsedRefreshTokenRow, UserRow

lives = SessionRow.expires_at > bindparam("now")
_COLUMNS = (
    SessionRow.id,
    SessionRow.user_id,
    SessionRow.created_at,
    SessionRow.authenticated_at,
    # By the attribute's name: the column has another one.
    SessionRow.factors.label("factors"),
    SessionRow.ends_at,
    SessionRow.expires_at,
    SessionRow.generation,
    SessionRow.refreshed_at,
    SessionRow.key_id,
    SessionRow.refresh_digest,
    SessionRow.family_digest,
    SessionRow.ip_address,
    SessionRow.user_agent,
    SessionRow.retry_digest,
    SessionRow.refreshes,
    SessionRow.refresh_window_ends_at,
    SessionRow.opened_by,
    SessionRow.verified_by,
    SessionRow.stale_since,
    SessionRow.user_verified,
    SessionRow.methods.label("methods"),
)
_is_current = SessionRow.refresh_digest == bindparam("token")
# A scalar, so that PostgreSQL combines three indexes; with IN it would scan the table.
_earlier = (
    select(UsedRefreshTokenRow.session_id).where(UsedRefreshTokenRow.digest == bindparam("token")).scalar_subquery()
)
_is_of_token = and_(
    or_(_is_current, SessionRow.family_digest == bindparam("family"), SessionRow.id == _earlier),
    lives,
)
_END_ALL = delete(SessionRow).where(SessionRow.user_id == bindparam("user"), lives)
_END_OTHERS = _END_ALL.where(SessionRow.id != bindparam("session"))
_make_stale = update(SessionRow).values(stale_since=bindparam("now"))


@dataclass(frozen=True)
class StoredSession:
    """A session and its current pair of tokens.

    ends_at: the absolute end. expires_at: the earlier one unless the session is refreshed. retry_digest: of the refresh
    that made the pair, if the client sent a key. methods: of authentication (RFC 8176). opened_by, verified_by:
    authenticator apps or passkeys. user_verified: whether the last one was a passkey that verified its user.
    stale_since: since when the verified factor counts no more.
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


def _session_of(row: RowMapping | None) -> StoredSession | None:
    if row is None:
        return None
    factors = _factors_of(row["factors"])
    methods = tuple(row["methods"].split()) if row["methods"] else _methods_of_earlier_release(factors)
    return StoredSession(**{**row, "factors": factors, "methods": methods})


def _methods_of_earlier_release(factors: Iterable[FactorKind]) -> tuple[str, ...]:
    return (PASSWORD_METHOD, *(method for factor in factors for method in Proof(factor).methods))


def _factors_of(names: str) -> tuple[FactorKind, ...]:
    return tuple(FactorKind[name] for name in names.split())


def _names_of(factors: Iterable[FactorKind]) -> str:
    return " ".join(factor.value for factor in factors)


_ADD = insert(SessionRow)


def add(connection: Connection, session: StoredSession) -> None:
    """Open a session."""
    values = vars(session) | {"factors": _names_of(session.factors), "methods": " ".join(session.methods)}
    connection.execute(_ADD, values)


_beyond = (
    select(SessionRow.id)
    .where(SessionRow.user_id == bindparam("user"), lives)
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
    .where(SessionRow.id == bindparam("session"), SessionRow.user_id == bindparam("user"), lives)
)


def find_account(
    connection: Connection, id: UUID, user_id: UUID, now: datetime
) -> tuple[Account, datetime, bool] | None:
    """The account, if the session is live and its own; when it verified a factor, and whether that still counts."""
    row = connection.execute(_FIND_ACCOUNT, {"session": id, "user": user_id, "now": now}).one_or_none()
    return None if row is None else (account_of(row), row.authenticated_at, row.stale_since is None)


_LOCK = (
    select(*_COLUMNS)
    .where(SessionRow.id == bindparam("session"), SessionRow.user_id == bindparam("user"), lives)
    .with_for_update()
)


def lock(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> StoredSession | None:
    """Lock the live session of that account; None when it has ended."""
    return _session_of(connection.execute(_LOCK, {"session": id, "user": user_id, "now": now}).mappings().one_or_none())


_LOCK_BY_REFRESH_TOKEN = select(*_COLUMNS).where(_is_of_token).with_for_update()


def lock_by_refresh_token(connection: Connection, digest: bytes, family: bytes, now: datetime) -> StoredSession | None:
    """Lock the live session that the token belongs to, or belonged to before it was traded in."""
    given = {"token": digest, "family": family, "now": now}
    return _session_of(connection.execute(_LOCK_BY_REFRESH_TOKEN, given).mappings().one_or_none())


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
_ROTATE = (
    update(SessionRow)
    .where(SessionRow.id == bindparam("session"), SessionRow.refresh_digest == bindparam("old_digest"))
    .values({name: bindparam(f"new_{name}") for name in _ROTATED})
)


def rotate(connection: Connection, session: StoredSession, rotated: StoredSession) -> bool:
    """Replace the current pair of a session, or store that it was issued again. False: it has another pair by now."""
    given = {"session": session.id, "old_digest": session.refresh_digest}
    given |= {f"new_{name}": getattr(rotated, name) for name in _ROTATED}
    return connection.execute(_ROTATE, given).rowcount == 1


_FIND_BY_REFRESH_TOKEN = select(SessionRow.id, SessionRow.user_id, _is_current.label("is_current")).where(_is_of_token)


def find_by_refresh_token(connection: Connection, digest: bytes, family: bytes, now: datetime) -> TokenOwner | None:
    """The live session that the token belongs to, or belonged to before it was traded in."""
    given = {"token": digest, "family": family, "now": now}
    row = connection.execute(_FIND_BY_REFRESH_TOKEN, given).one_or_none()
    return None if row is None else TokenOwner(row.id, row.user_id, bool(row.is_current))


_REAUTHENTICATE = (
    update(SessionRow)
    .where(SessionRow.id == bindparam("session"))
    .values(
        authenticated_at=bindparam("at"),
        factors=bindparam("verified"),
        methods=bindparam("by_methods"),
        verified_by=bindparam("factor_id"),
        user_verified=bindparam("by_user"),
        stale_since=None,
    )
)


def reauthenticate(connection: Connection, session: StoredSession) -> None:
    """A second factor was verified again. The session's row is locked."""
    given = {
        "session": session.id,
        "at": session.authenticated_at,
        "verified": _names_of(session.factors),
        "by_methods": " ".join(session.methods),
        "factor_id": session.verified_by,
        "by_user": session.user_verified,
    }
    connection.execute(_REAUTHENTICATE, given)


_END = delete(SessionRow).where(SessionRow.id == bindparam("session"))


def end(connection: Connection, id: UUID) -> int:
    """End one session; return how many were ended."""
    return connection.execute(_END, {"session": id}).rowcount


def end_all(connection: Connection, user_id: UUID, now: datetime) -> int:
    """End every live session of the account; return how many were ended."""
    return connection.execute(_END_ALL, {"user": user_id, "now": now}).rowcount


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


_MAKE_STALE = _make_stale.where(SessionRow.id == bindparam("session"))


def make_stale(connection: Connection, id: UUID, now: datetime) -> None:
    """Require another second factor of that session before sensitive operations."""
    connection.execute(_MAKE_STALE, {"session": id, "now": now})


_MAKE_OTHERS_STALE = _make_stale.where(
    SessionRow.user_id == bindparam("user"),
    SessionRow.id != bindparam("session"),
    SessionRow.stale_since.is_(None),
    lives,
)


def make_others_stale(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> None:
    """Require another second factor of every other live session of the account before sensitive operations."""
    connection.execute(_MAKE_OTHERS_STALE, {"session": id, "user": user_id, "now": now})


_USED_LAST = (
    select(
        SessionRow.id,
        SessionRow.created_at,
        SessionRow.refreshed_at.label("last_used_at"),
        SessionRow.authenticated_at,
        SessionRow.factors.label("factors"),
        SessionRow.ip_address,
        SessionRow.user_agent,
    )
    .where(SessionRow.user_id == bindparam("user"), lives)
    .order_by(SessionRow.refreshed_at.desc(), SessionRow.id)
    .limit(bindparam("rows"))
)


def used_last(connection: Connection, user_id: UUID, now: datetime, rows: int) -> list[ListedSession]:
    """The account's live sessions, newest use first, up to `rows`."""
    found = connection.execute(_USED_LAST, {"user": user_id, "now": now, "rows": rows}).mappings()
    return [ListedSession(**{**row, "factors": _factors_of(row["factors"])}) for row in found]


_END_OWN = _END_ALL.where(SessionRow.id == bindparam("session"))


def end_own(connection: Connection, id: UUID, user_id: UUID, now: datetime) -> bool:
    """End a live session if it is the account's."""
    return connection.execute(_END_OWN, {"session": id, "user": user_id, "now": now}).rowcount == 1
