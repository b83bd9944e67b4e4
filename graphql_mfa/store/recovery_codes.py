"""Recovery codes: store a set, consume one."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, delete, insert

from graphql_mfa.store.models import RecoveryCode


def add(connection: Connection, user_id: UUID, digests: Iterable[bytes]) -> None:
    """Store the digests of a set."""
    connection.execute(insert(RecoveryCode), [{"user_id": user_id, "digest": digest} for digest in digests])


def consume(connection: Connection, user_id: UUID, digest: bytes) -> bool:
    """Use a code up: true for exactly one caller."""
    used = connection.execute(
        delete(RecoveryCode).where(RecoveryCode.user_id == user_id, RecoveryCode.digest == digest)
    )
    return used.rowcount == 1
