"""Rows that tests insert directly, since no operation of the API creates them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, insert, select, update

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.store.models import Base, ChallengeRow, OutboxRow, PasskeyRow, SessionRow, TotpDeviceRow, UserRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def add_user(connection: Connection, username: str = "alice", **columns: Any) -> UUID:
    """An account as an operator imports one: without a second factor, and it stays. `columns` override."""
    row = {"username": username, "username_key": username, "password_hash": "", "created_at": NOW}
    return _add(connection, UserRow, row | columns)


def add_device(connection: Connection, user_id: UUID, **columns: Any) -> UUID:
    """An authenticator app that was never used."""
    row = {"user_id": user_id, "sealed_secret": b"key1", "key_id": b"key1", "created_at": NOW}
    return _add(connection, TotpDeviceRow, row | columns)


def add_passkey(connection: Connection, user_id: UUID, **columns: Any) -> UUID:
    """A device-bound passkey that verified its user and was never used. `columns` override."""
    row = {
        "user_id": user_id,
        "credential_id": uuid4().bytes,
        "public_key": b"key",
        "sign_count": 0,
        "backup_eligible": False,
        "backed_up": False,
        "user_verified": True,
        "aaguid": UUID(int=0),
        "transports": ("internal",),
        "name": "Passkey",
        "created_at": NOW,
    }
    return _add(connection, PasskeyRow, row | columns)


def add_session(connection: Connection, user_id: UUID, **columns: Any) -> UUID:
    """A session of one day."""
    row = {
        "user_id": user_id,
        "created_at": NOW,
        "authenticated_at": NOW,
        "factors": (FactorKind.TOTP,),
        "ends_at": LATER,
        "expires_at": LATER,
        "refreshed_at": NOW,
        "key_id": b"key1",
        "refresh_digest": uuid4().bytes,
    }
    return _add(connection, SessionRow, row | columns)


def add_challenge(connection: Connection, user_id: UUID, **columns: Any) -> bytes:
    """An open challenge; returns its digest."""
    key = uuid4().bytes
    row = {"digest": key, "user_id": user_id, "created_at": NOW, "expires_at": LATER, "attempts": 0}
    connection.execute(insert(ChallengeRow).values(row | columns))
    return key


def add_message(connection: Connection, **columns: Any) -> UUID:
    """A message of the outbox that is due; returns the id of its event."""
    event = uuid4()
    row = {"sink": "hook", "event_id": event, "kind": "SIGNED_IN", "at": NOW, "user_id": uuid4(), "username": "alice"}
    connection.execute(insert(OutboxRow).values(row | {"since": NOW, "attempts": 0, "due_at": NOW} | columns))
    return event


def password_hash_of(connection: Connection, username: str = "alice") -> str:
    """The hash that is stored now."""
    return connection.execute(select(UserRow.password_hash).where(UserRow.username_key == username)).scalar_one()


def set_user(connection: Connection, username: str = "alice", **columns: Any) -> None:
    """Change an account's columns."""
    connection.execute(update(UserRow).where(UserRow.username_key == username).values(columns))


def _add(connection: Connection, model: type[Base], row: dict[str, Any]) -> UUID:
    row = {"id": uuid4()} | row
    connection.execute(insert(model).values(row))
    key: UUID = row["id"]
    return key
