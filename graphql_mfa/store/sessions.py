"""Sessions: open, find, rotate, end."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, case, delete, insert, literal, or_, select, update

from graphql_mfa.core.accounts import Account, FactorKind
from graphql_mfa.store.models import Session, UsedRefreshToken, User, UtcDateTime
from graphql_mfa.store.users import ACCOUNT_COLUMNS, account_of


@dataclass(frozen=True)
class StoredSession:
    """A session and its current pair of tokens.

    ends_at: the absolute end. expires_at: the earlier one unless the session is refreshed. generation, refreshed_at,
    key_id: the number of the current pair, when it was made and with which key.
    """

    id: UUID
    user_id: UUID
    authenticated_at: datetime
    factor: FactorKind
    ends_at: datetime
    expires_at: datetime
    generation: int
    refreshed_at: datetime
    key_id: bytes


_COLUMNS = (
    Session.id,
    Session.user_id,
    Session.authenticated_at,
    Session.factor,
    Session.ends_at,
    Session.expires_at,
    Session.generation,
    Session.refreshed_at,
    Session.key_id,
)


def _session_of(row: "Row[*tuple[object, ...]]") -> StoredSession:
    return StoredSession(
        id=row.id,
        user_id=row.user_id,
        authenticated_at=row.authenticated_at,
        factor=FactorKind(row.factor),
        ends_at=row.ends_at,
        expires_at=row.expires_at,
        generation=row.generation,
        refreshed_at=row.refreshed_at,
        key_id=row.key_id,
    )


def add(connection: Connection, session: StoredSession, refresh_digest: bytes) -> None:
    """Open a session."""
    values = {column.key: getattr(session, column.key) for column in _COLUMNS} | {
        "factor": session.factor.value,
        "created_at": session.authenticated_at,
        "refresh_digest": refresh_digest,
    }
    connection.execute(insert(Session).values(values))


def find_account(connection: Connection, id: UUID, now: datetime) -> tuple[Account, datetime] | None:
    """The account that is signed in by that live session, and when that verified a second factor."""
    query = select(*ACCOUNT_COLUMNS, Session.authenticated_at).join(Session, Session.user_id == User.id)
    row = connection.execute(query.where(Session.id == id, Session.expires_at > now)).one_or_none()
    return None if row is None else (account_of(row), row.authenticated_at)


def rotate(
    connection: Connection, old_digest: bytes, new_digest: bytes, *, key_id: bytes, now: datetime, idle_end: datetime
) -> StoredSession | None:
    """Trade the current refresh token in: for exactly one caller. None when it is not current, or its session over."""
    expires_at: ColumnElement[datetime] = case(
        (Session.ends_at < idle_end, Session.ends_at), else_=literal(idle_end, UtcDateTime)
    )
    row = connection.execute(
        update(Session)
        .where(Session.refresh_digest == old_digest, Session.expires_at > now)
        .values(
            refresh_digest=new_digest,
            generation=Session.generation + 1,
            refreshed_at=now,
            key_id=key_id,
            expires_at=expires_at,
        )
        .returning(*_COLUMNS)
    ).one_or_none()
    if row is None:
        return None
    session = _session_of(row)
    connection.execute(
        insert(UsedRefreshToken).values(digest=old_digest, session_id=session.id, generation=session.generation - 1)
    )
    return session


def find_by_used_token(connection: Connection, digest: bytes, now: datetime) -> tuple[StoredSession, int] | None:
    """The live session that the token once belonged to, and the token's number in it."""
    row = connection.execute(
        select(*_COLUMNS, UsedRefreshToken.generation.label("used_generation"))
        .join(UsedRefreshToken, UsedRefreshToken.session_id == Session.id)
        .where(UsedRefreshToken.digest == digest, Session.expires_at > now)
    ).one_or_none()
    return None if row is None else (_session_of(row), row.used_generation)


def find_by_refresh_token(connection: Connection, digest: bytes, now: datetime) -> tuple[UUID, UUID] | None:
    """Session id and user id of the live session that the token, used or not, belongs to."""
    used = select(UsedRefreshToken.session_id).where(UsedRefreshToken.digest == digest)
    row = connection.execute(
        select(Session.id, Session.user_id).where(
            or_(Session.refresh_digest == digest, Session.id.in_(used)), Session.expires_at > now
        )
    ).one_or_none()
    return None if row is None else (row.id, row.user_id)


def end(connection: Connection, id: UUID) -> int:
    """End one session; return how many were ended."""
    return connection.execute(delete(Session).where(Session.id == id)).rowcount


def end_all(connection: Connection, user_id: UUID, now: datetime) -> int:
    """End every live session of the account; return how many were ended."""
    return connection.execute(delete(Session).where(Session.user_id == user_id, Session.expires_at > now)).rowcount
