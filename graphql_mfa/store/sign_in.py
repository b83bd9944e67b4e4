"""Signing in: the account of a name, challenges, and the addresses that an account signed in from."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Executable,
    Integer,
    bindparam,
    delete,
    exists,
    func,
    select,
    update,
)

from graphql_mfa.store import find_one, insert_if, new_row, upsert
from graphql_mfa.store.accounts import StoredUser, may_sign_in, select_users, that_name, user_of
from graphql_mfa.store.models import ChallengeRow, KnownAddressRow, UserRow

_addresses_of_user = KnownAddressRow.user_id == bindparam("user")
_that_challenge = ChallengeRow.digest == bindparam("challenge")


@dataclass(frozen=True)
class LockedChallenge:
    """An open challenge and its account, whose rows are locked.

    attempts_left: how many answers are left if this one is wrong. latest_address: the address of the last sign-in, if
    that was within a day. refused_passwords: how many were refused since the last sign-in, counted when the challenge
    was opened.
    """

    digest: bytes
    user: StoredUser
    attempts_left: int
    latest_address: str | None
    refused_passwords: int


@dataclass(frozen=True)
class LoginCandidate:
    """The account of a login, before its password is compared. expires: whether its registration is unconfirmed."""

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
    return find_one(connection, _FIND_FOR_LOGIN, {"name": key, "address": address, "now": now}, LoginCandidate)


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
        ChallengeRow.digest,
        (bindparam("attempts", type_=Integer) - ChallengeRow.attempts - 1).label("attempts_left"),
        _latest_address.label("latest_address"),
        ChallengeRow.refused_passwords,
    )
    .join(ChallengeRow, ChallengeRow.user_id == UserRow.id)
    .where(
        may_sign_in,
        _that_challenge,
        ChallengeRow.expires_at > bindparam("now"),
        ChallengeRow.attempts < bindparam("attempts"),
    )
    .with_for_update(of=[UserRow, ChallengeRow])
)


def lock_by_challenge(connection: Connection, digest: bytes, now: datetime, attempts: int) -> LockedChallenge | None:
    """Lock an open challenge and its account. attempts: wrong answers that end a challenge."""
    given = {"challenge": digest, "now": now, "attempts": attempts, "yesterday": now - timedelta(days=1)}
    return find_one(connection, _LOCK_BY_CHALLENGE, given, _locked_challenge)


def _locked_challenge(
    digest: bytes, attempts_left: int, latest_address: str | None, refused_passwords: int, **user: Any
) -> LockedChallenge:
    return LockedChallenge(digest, user_of(**user), attempts_left, latest_address, refused_passwords)


_KNOWN_ADDRESSES = 50  # of an account; homes, offices and phones of many months
_ADDRESSES = select(KnownAddressRow.address).where(_addresses_of_user)
_used_last = _ADDRESSES.order_by(KnownAddressRow.last_used_at.desc()).limit(_KNOWN_ADDRESSES)
_FORGET_ADDRESSES = delete(KnownAddressRow).where(_addresses_of_user, KnownAddressRow.address.not_in(_used_last))


def remember_address(connection: Connection, id: UUID, address: str, now: datetime) -> None:
    """Store when the account signed in from there. Beyond 50 addresses the least recently used ones are deleted."""
    given = {"user_id": id, "address": address, "last_used_at": now, "user": id, "this": address}
    others = connection.scalar(_remember_address(connection.dialect.name), given) or 0
    if others >= _KNOWN_ADDRESSES:
        connection.execute(_FORGET_ADDRESSES, {"user": id})


_other_addresses = (
    select(func.count()).where(_addresses_of_user, KnownAddressRow.address != bindparam("this")).scalar_subquery()
)


@cache
def _remember_address(dialect: str) -> Executable:
    """An upsert that returns how many other addresses the account has."""
    upserted: Executable = upsert(dialect, KnownAddressRow, "last_used_at").returning(_other_addresses)
    return upserted


def known_addresses(connection: Connection, id: UUID) -> list[str]:
    """The addresses from which the account signed in."""
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
_open_challenges = select(func.count()).where(ChallengeRow.user_id == bindparam("new_user_id"))
_ADD_CHALLENGE = insert_if(ChallengeRow, _open_challenges.scalar_subquery() < bindparam("at_most"))


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
    row = new_row(
        digest=digest,
        user_id=user_id,
        created_at=now,
        expires_at=expires_at,
        attempts=0,
        refused_passwords=refused_passwords,
    )
    given = row | {"at_most": at_most}
    if connection.execute(_ADD_CHALLENGE, given).rowcount == 0:
        connection.execute(_END_OLDEST_CHALLENGES, {"user": user_id, "others": at_most - 1})
        connection.execute(_ADD_CHALLENGE, given)


_COUNT_ATTEMPT = update(ChallengeRow).where(_that_challenge).values(attempts=ChallengeRow.attempts + 1)


def count_attempt(connection: Connection, digest: bytes) -> None:
    """Count a wrong answer. The challenge was locked before the answer was compared."""
    connection.execute(_COUNT_ATTEMPT, {"challenge": digest})


_CONSUME_CHALLENGE = delete(ChallengeRow).where(_that_challenge).returning(ChallengeRow.digest)


def consume_challenge(connection: Connection, digest: bytes) -> None:
    """Use the challenge up. It is locked; raises NoResultFound if it is gone all the same."""
    connection.execute(_CONSUME_CHALLENGE, {"challenge": digest}).one()


_END_CHALLENGES = delete(ChallengeRow).where(ChallengeRow.user_id == bindparam("user"))


def end_challenges(connection: Connection, user_id: UUID) -> None:
    """End every open challenge of the account."""
    connection.execute(_END_CHALLENGES, {"user": user_id})
