"""Signing in: the account of a name, challenges, and the addresses that an account signed in from."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from sqlalchemy import (
    Connection,
    Executable,
    Integer,
    LargeBinary,
    Uuid,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.orm import aliased

from graphql_mfa.store import insert_by_engine
from graphql_mfa.store.accounts import StoredUser, may_sign_in, select_users, that_name, user_of
from graphql_mfa.store.models import ChallengeRow, KnownAddressRow, UserRow, UtcDateTime

_known = aliased(KnownAddressRow)
_addresses_of_user = _known.user_id == bindparam("of")


@dataclass(frozen=True)
class LockedChallenge:
    """An open challenge and its account, whose rows are locked.

    attempts_left: how many answers are left if this one is wrong. latest_address: from where the account signed in
    last, if that was within a day. refused_passwords: since the last sign-in, when the challenge was opened.
    """

    digest: bytes
    user: StoredUser
    attempts_left: int
    latest_address: str | None
    refused_passwords: int


@dataclass(frozen=True)
class LoginCandidate:
    """The account of a login, before its password is compared. expires: it is a registration to be confirmed."""

    id: UUID
    password_hash: str
    knows_address: bool
    expires: bool


_knows_address = exists().where(KnownAddressRow.user_id == UserRow.id, KnownAddressRow.address == bindparam("address"))
_FIND_FOR_LOGIN = select(
    UserRow.id,
    UserRow.password_hash,
    _knows_address.label("knows_address"),
    UserRow.enrollment_expires_at.is_not(None).label("expires"),
).where(that_name, may_sign_in)


def find_for_login(connection: Connection, key: str, address: str, now: datetime) -> LoginCandidate | None:
    """The account of that name, and whether it ever signed in from that address."""
    found = connection.execute(_FIND_FOR_LOGIN, {"name": key, "address": address, "now": now})
    row = found.mappings().one_or_none()
    return None if row is None else LoginCandidate(**row)


# Within a day, so that `last_used_at` is behind by a day at most.
_latest_address = (
    select(KnownAddressRow.address)
    .where(KnownAddressRow.user_id == UserRow.id, KnownAddressRow.last_used_at > bindparam("yesterday"))
    .order_by(KnownAddressRow.last_used_at.desc())
    .limit(1)
    .correlate(UserRow)
    .scalar_subquery()
)
# Both, so that PostgreSQL reads both again after it had to wait: the challenge may have been answered meanwhile.
_LOCK_BY_CHALLENGE = (
    select_users.add_columns(
        ChallengeRow.attempts, ChallengeRow.refused_passwords, _latest_address.label("latest_address")
    )
    .join(ChallengeRow, ChallengeRow.user_id == UserRow.id)
    .where(
        may_sign_in,
        ChallengeRow.digest == bindparam("challenge"),
        ChallengeRow.expires_at > bindparam("now"),
        ChallengeRow.attempts < bindparam("attempts"),
    )
    .with_for_update(of=[UserRow, ChallengeRow])
)


def lock_by_challenge(connection: Connection, digest: bytes, now: datetime, attempts: int) -> LockedChallenge | None:
    """Lock an open challenge and its account. attempts: wrong answers that end a challenge."""
    given = {"challenge": digest, "now": now, "attempts": attempts, "yesterday": now - timedelta(days=1)}
    row = connection.execute(_LOCK_BY_CHALLENGE, given).one_or_none()
    if row is None:
        return None
    return LockedChallenge(digest, user_of(row), attempts - row.attempts - 1, row.latest_address, row.refused_passwords)


_KNOWN_ADDRESSES = 50  # of an account; homes, offices and phones of many months
_used_last = (
    select(_known.address).where(_addresses_of_user).order_by(_known.last_used_at.desc()).limit(_KNOWN_ADDRESSES)
)
_FORGET_ADDRESSES = delete(KnownAddressRow).where(
    KnownAddressRow.user_id == bindparam("user"), KnownAddressRow.address.not_in(_used_last)
)


def remember_address(connection: Connection, id: UUID, address: str, now: datetime) -> None:
    """Store when the account signed in from there. Beyond 50 addresses the least recently used ones are deleted."""
    given = {"user_id": id, "address": address, "last_used_at": now, "of": id, "this": address}
    others = connection.scalar(_remember_address(connection.dialect.name), given) or 0
    if others >= _KNOWN_ADDRESSES:
        connection.execute(_FORGET_ADDRESSES, {"user": id, "of": id})


_other_addresses = (
    select(func.count())
    .select_from(_known)
    .where(_addresses_of_user, _known.address != bindparam("this"))
    .scalar_subquery()
)


@cache
def _remember_address(dialect: str) -> Executable:
    """An upsert that returns how many other addresses the account has."""
    insertion = insert_by_engine(dialect, KnownAddressRow)
    upsert: Executable = insertion.on_conflict_do_update(
        index_elements=[KnownAddressRow.user_id, KnownAddressRow.address],
        set_={"last_used_at": insertion.excluded.last_used_at},
    ).returning(_other_addresses)
    return upsert


_ADDRESSES = select(KnownAddressRow.address).where(KnownAddressRow.user_id == bindparam("user"))


def known_addresses(connection: Connection, id: UUID) -> list[str]:
    """From where the account signed in."""
    return list(connection.scalars(_ADDRESSES, {"user": id}))


_newest_challenges = (
    select(ChallengeRow.digest)
    .where(ChallengeRow.user_id == bindparam("user"))
    .order_by(ChallengeRow.created_at.desc())
    .limit(bindparam("others"))
)
_END_OLDEST_CHALLENGES = delete(ChallengeRow).where(
    ChallengeRow.user_id == bindparam("user"), ChallengeRow.digest.not_in(_newest_challenges)
)
_open_challenges = (
    select(func.count()).select_from(ChallengeRow).where(ChallengeRow.user_id == bindparam("user", type_=Uuid()))
)
_ADD_CHALLENGE = insert(ChallengeRow).from_select(
    ["digest", "user_id", "created_at", "expires_at", "attempts", "refused_passwords"],
    select(
        bindparam("challenge", type_=LargeBinary),
        bindparam("user", type_=Uuid()),
        bindparam("now", type_=UtcDateTime),
        bindparam("end", type_=UtcDateTime),
        literal(0),
        bindparam("refused_passwords", type_=Integer),
    ).where(_open_challenges.scalar_subquery() < bindparam("at_most")),
)


def add_challenge(
    connection: Connection,
    *,
    digest: bytes,
    user_id: UUID,
    now: datetime,
    expires_at: datetime,
    at_most: int,
    refused_passwords: int,
) -> None:
    """Issue a challenge, ending the oldest ones beyond `at_most`. The account's row is locked."""
    given = {
        "challenge": digest,
        "user": user_id,
        "now": now,
        "end": expires_at,
        "at_most": at_most,
        "refused_passwords": refused_passwords,
    }
    if connection.execute(_ADD_CHALLENGE, given).rowcount == 0:
        connection.execute(_END_OLDEST_CHALLENGES, {"user": user_id, "others": at_most - 1})
        connection.execute(_ADD_CHALLENGE, given)


_COUNT_ATTEMPT = (
    update(ChallengeRow).where(ChallengeRow.digest == bindparam("challenge")).values(attempts=ChallengeRow.attempts + 1)
)


def count_attempt(connection: Connection, digest: bytes) -> None:
    """Count a wrong answer. The challenge was locked before the answer was compared."""
    connection.execute(_COUNT_ATTEMPT, {"challenge": digest})


_CONSUME_CHALLENGE = (
    delete(ChallengeRow).where(ChallengeRow.digest == bindparam("challenge")).returning(ChallengeRow.digest)
)


def consume_challenge(connection: Connection, digest: bytes) -> None:
    """Use the challenge up. It is locked; raises NoResultFound if it is gone all the same."""
    connection.execute(_CONSUME_CHALLENGE, {"challenge": digest}).one()


_END_CHALLENGES = delete(ChallengeRow).where(ChallengeRow.user_id == bindparam("user"))


def end_challenges(connection: Connection, user_id: UUID) -> None:
    """End every open challenge of the account."""
    connection.execute(_END_CHALLENGES, {"user": user_id})
