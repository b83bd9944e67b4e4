"""A store full of accounts, filled by bulk statements, and some of them at random who are about to sign in."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, select

from benchmarks.target import User
from graphql_mfa.core import totp
from graphql_mfa.core.access_tokens import AccessTokens, Grant
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.keys import KeyRing
from graphql_mfa.core.tokens import CHALLENGE_PREFIX, Purpose, digest, new_token
from graphql_mfa.flows.totp import seal_secret
from graphql_mfa.settings import Settings
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import (
    Base,
    ChallengeRow,
    KnownAddressRow,
    RecoveryCodeRow,
    SessionRow,
    TotpDeviceRow,
    UserRow,
)

_BATCH_USERS = 5_000
_SQLITE_CACHE_KIBIBYTES = 200_000
_RECOVERY_CODES = 10
# One account in this many has recovery codes, one a live session, and one an open challenge.
_USERS_OF_RECOVERY_CODES = 10
_USERS_OF_A_SESSION = 5
_USERS_OF_A_CHALLENGE = 100
_DAY = timedelta(days=1)
_ANY_HASH = "$2b$12$" + "x" * 53

Rows = dict[type[Base], list[Mapping[str, Any]]]


@dataclass(frozen=True)
class Population:
    """How many of everything. visitors: accounts with an open challenge and a live session. expired: rows to purge."""

    users: int
    visitors: int
    expired: int = 0


async def fill(settings: Settings, population: Population) -> list[User]:
    """Fill an empty store; return the visitors in random order."""
    ring = KeyRing.parse(settings.secret_keys.get_secret_value() if settings.secret_keys else "")
    tokens = AccessTokens(ring, issuer=settings.token_issuer, audience=settings.token_audience)
    now = datetime.now(UTC)
    # One seed, so that every store of one size has the same visitors.
    numbers = random.Random(0).sample(range(population.users), population.visitors)  # noqa: S311 - no secret
    chosen = frozenset(numbers)
    visitors: dict[int, User] = {}
    database = Database(settings.database_url)
    try:
        await database.migrate()
        await database.write(_prepare)
        for start in range(0, population.users, _BATCH_USERS):
            rows: Rows = {
                UserRow: [],
                TotpDeviceRow: [],
                KnownAddressRow: [],
                RecoveryCodeRow: [],
                SessionRow: [],
                ChallengeRow: [],
            }
            for number in range(start, min(population.users, start + _BATCH_USERS)):
                if number in chosen:
                    visitors[number] = _add_visitor(rows, number, ring, tokens, now)
                else:
                    _add_user(rows, number, ring, now)
            await database.write(partial(_insert, rows))
        for start in range(0, population.expired, _BATCH_USERS):
            expired = range(start, min(population.expired, start + _BATCH_USERS))
            await database.write(partial(_insert, _expired(expired, population.users, ring, now)))
    finally:
        await database.close()
    return [visitors[number] for number in numbers]


def expired_rows(connection: Connection) -> int:
    """How many rows are yet to be purged."""
    now = datetime.now(UTC)
    counts = (
        connection.scalar(select(func.count()).select_from(model).where(model.expires_at <= now))
        for model in (ChallengeRow, SessionRow)
    )
    return sum(count or 0 for count in counts)


def _prepare(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        # With the default cache, each row of a large table would read and write several pages.
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_SQLITE_CACHE_KIBIBYTES}")


def _insert(rows: Rows, connection: Connection) -> None:
    for model, some in rows.items():
        if some:
            connection.execute(insert(model), some)


def _id(kind: str, number: int) -> UUID:
    """Ascending with the number, so that filling adds to the end of each index."""
    return UUID(bytes=number.to_bytes(5) + _noise(kind, number)[:11], version=4)


def _noise(kind: str, number: int) -> bytes:
    return hashlib.sha256(f"{kind} {number}".encode()).digest()


def _digest(kind: str, number: int) -> bytes:
    return number.to_bytes(5) + _noise(kind, number)[:27]


def _add_user(rows: Rows, number: int, ring: KeyRing, now: datetime) -> None:
    """An account some time after its enrollment. Its encrypted secret has the usual length, but no key decrypts it."""
    _add_account(rows, number, _noise("seal", number) + _noise("of device", number), ring, now)
    if not number % _USERS_OF_A_SESSION:
        _add_session(rows, number, ring, now)
    if not number % _USERS_OF_A_CHALLENGE:
        _add_challenge(rows, number, _digest("challenge", number), now)


def _add_visitor(rows: Rows, number: int, ring: KeyRing, tokens: AccessTokens, now: datetime) -> User:
    secret = totp.new_secret()
    _add_account(rows, number, seal_secret(ring, _id("device", number), secret), ring, now)
    _add_session(rows, number, ring, now)
    challenge = new_token(CHALLENGE_PREFIX)
    _add_challenge(rows, number, digest(Purpose.CHALLENGE, challenge), now)
    grant = Grant(
        user_id=_id("user", number),
        session_id=_id("session", number),
        generation=0,
        authenticated_at=now,
        methods=("pwd", "otp"),
        issued_at=now,
        expires_at=now + _DAY,
    )
    state = {"challenge": challenge, "access token": tokens.sign(grant, ring.current)}
    return User(_name(number), "", secret, state=state)


def _name(number: int) -> str:
    return f"user{number:08}"


def _add_account(rows: Rows, number: int, seal: bytes, ring: KeyRing, now: datetime) -> None:
    user = _id("user", number)
    name = _name(number)
    rows[UserRow].append(
        {
            "id": user,
            "username": name,
            "username_key": name,
            "password_hash": _ANY_HASH,
            "created_at": now,
            "mfa_enabled_at": now,
            "otp_failures": 0,
        }
    )
    rows[TotpDeviceRow].append(
        {
            "id": _id("device", number),
            "user_id": user,
            "sealed_secret": seal,
            "key_id": ring.current.id,
            "created_at": now,
            "confirmed_at": now,
        }
    )
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    rows[KnownAddressRow].append({"user_id": user, "address": address, "last_used_at": now - _DAY})
    if not number % _USERS_OF_RECOVERY_CODES:
        codes = range(number * _RECOVERY_CODES, (number + 1) * _RECOVERY_CODES)
        rows[RecoveryCodeRow] += [{"user_id": user, "digest": _digest("code", code)} for code in codes]


def _add_session(rows: Rows, number: int, ring: KeyRing, now: datetime) -> None:
    session = _session(_id("session", number), _id("user", number), ring, now)
    rows[SessionRow].append(session | {"refresh_digest": _digest("refresh", number)})


def _session(id: UUID, user: UUID, ring: KeyRing, now: datetime) -> dict[str, Any]:
    return {
        "id": id,
        "user_id": user,
        "created_at": now,
        "authenticated_at": now,
        "factors": (FactorKind.TOTP,),
        "ends_at": now + _DAY,
        "expires_at": now + _DAY,
        "generation": 0,
        "refreshed_at": now,
        "key_id": ring.current.id,
    }


def _add_challenge(rows: Rows, number: int, key: bytes, now: datetime) -> None:
    rows[ChallengeRow].append(
        {"digest": key, "user_id": _id("user", number), "created_at": now, "expires_at": now + _DAY, "attempts": 0}
    )


def _expired(numbers: Sequence[int], users: int, ring: KeyRing, now: datetime) -> Rows:
    """Challenges and sessions in equal parts, each of any account."""
    rows: Rows = {SessionRow: [], ChallengeRow: []}
    for number in numbers:
        user = _id("user", number % users)
        noise = _noise("expired", number)
        if number % 2:
            session = _session(UUID(bytes=noise[:16], version=4), user, ring, now)
            rows[SessionRow].append(session | {"refresh_digest": noise, "ends_at": now, "expires_at": now})
        else:
            _add_challenge(rows, number % users, noise, now - _DAY)
    return rows
