"""Open challenges: issue, count, consume."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from graphql_mfa.store.models import Challenge


def add(
    connection: Connection, *, digest: bytes, user_id: UUID, now: datetime, expires_at: datetime, at_most: int
) -> None:
    """Issue a challenge, ending the oldest ones beyond `at_most`. The caller holds the account's row."""
    others = select(Challenge.digest).where(Challenge.user_id == user_id).order_by(Challenge.created_at.desc())
    connection.execute(
        delete(Challenge).where(Challenge.user_id == user_id, Challenge.digest.not_in(others.limit(at_most - 1)))
    )
    connection.execute(
        insert(Challenge).values(digest=digest, user_id=user_id, created_at=now, expires_at=expires_at, attempts=0)
    )


def count_attempt(connection: Connection, digest: bytes, at_most: int) -> int | None:
    """Count an answer before it is looked at; return how many are left, or None when the challenge is over."""
    counted = connection.scalar(
        update(Challenge)
        .where(Challenge.digest == digest, Challenge.attempts < at_most)
        .values(attempts=Challenge.attempts + 1)
        .returning(Challenge.attempts)
    )
    return None if counted is None else at_most - counted


def consume(connection: Connection, digest: bytes) -> bool:
    """Use the challenge up: true for exactly one caller."""
    return connection.execute(delete(Challenge).where(Challenge.digest == digest)).rowcount == 1


def end_all(connection: Connection, user_id: UUID) -> None:
    """End every open challenge of the account."""
    connection.execute(delete(Challenge).where(Challenge.user_id == user_id))
