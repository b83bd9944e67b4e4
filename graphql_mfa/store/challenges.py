"""Open challenges: issue, count, consume."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, LargeBinary, Uuid, bindparam, delete, func, insert, literal, select, update

from graphql_mfa.store.models import Challenge, UtcDateTime

_newest = (
    select(Challenge.digest)
    .where(Challenge.user_id == bindparam("user"))
    .order_by(Challenge.created_at.desc())
    .limit(bindparam("others"))
)
_END_OLDEST = delete(Challenge).where(Challenge.user_id == bindparam("user"), Challenge.digest.not_in(_newest))
_open = select(func.count()).select_from(Challenge).where(Challenge.user_id == bindparam("user", type_=Uuid()))
_ADD = insert(Challenge).from_select(
    ["digest", "user_id", "created_at", "expires_at", "attempts"],
    select(
        bindparam("challenge", type_=LargeBinary),
        bindparam("user", type_=Uuid()),
        bindparam("now", type_=UtcDateTime),
        bindparam("end", type_=UtcDateTime),
        literal(0),
    ).where(_open.scalar_subquery() < bindparam("at_most")),
)
_COUNT_ATTEMPT = (
    update(Challenge).where(Challenge.digest == bindparam("challenge")).values(attempts=Challenge.attempts + 1)
)
_CONSUME = delete(Challenge).where(Challenge.digest == bindparam("challenge")).returning(Challenge.digest)
_END_ALL = delete(Challenge).where(Challenge.user_id == bindparam("user"))


def add(
    connection: Connection, *, digest: bytes, user_id: UUID, now: datetime, expires_at: datetime, at_most: int
) -> None:
    """Issue a challenge, ending the oldest ones beyond `at_most`. The caller holds the account's row."""
    given = {"challenge": digest, "user": user_id, "now": now, "end": expires_at, "at_most": at_most}
    if connection.execute(_ADD, given).rowcount == 0:
        connection.execute(_END_OLDEST, {"user": user_id, "others": at_most - 1})
        connection.execute(_ADD, given)


def count_attempt(connection: Connection, digest: bytes) -> None:
    """Count a wrong answer. The caller holds the challenge since before the answer was compared."""
    connection.execute(_COUNT_ATTEMPT, {"challenge": digest})


def consume(connection: Connection, digest: bytes) -> None:
    """Use the challenge up. The caller holds it; that nobody else was first is checked all the same."""
    connection.execute(_CONSUME, {"challenge": digest}).one()


def end_all(connection: Connection, user_id: UUID) -> None:
    """End every open challenge of the account."""
    connection.execute(_END_ALL, {"user": user_id})
