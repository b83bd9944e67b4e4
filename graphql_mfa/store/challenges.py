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


def count_attempt(connection: Connection, digest: bytes, at_most: int) -> int:
    """Count an answer before it is looked at; return how many are left. The caller holds the challenge, still open."""
    counted = connection.execute(
        update(Challenge)
        .where(Challenge.digest == digest, Challenge.attempts < at_most)
        .values(attempts=Challenge.attempts + 1)
        .returning(Challenge.attempts)
    )
    return at_most - counted.scalar_one()


def consume(connection: Connection, digest: bytes) -> None:
    """Use the challenge up. The caller holds it; that nobody else was first is checked all the same."""
    connection.execute(delete(Challenge).where(Challenge.digest == digest).returning(Challenge.digest)).one()


def end_all(connection: Connection, user_id: UUID) -> None:
    """End every open challenge of the account."""
    connection.execute(delete(Challenge).where(Challenge.user_id == user_id))
