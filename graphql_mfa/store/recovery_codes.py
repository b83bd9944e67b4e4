"""Recovery codes: store a set, consume one."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, insert, select

from graphql_mfa.store.models import RecoveryCodeRow

_of_user = RecoveryCodeRow.user_id == bindparam("user")
_that_code = (_of_user, RecoveryCodeRow.digest == bindparam("code"))
_ADD = insert(RecoveryCodeRow)


def replace(connection: Connection, user_id: UUID, digests: Iterable[bytes]) -> None:
    """Store the digests of a set, in place of whatever is there."""
    remove_all(connection, user_id)
    connection.execute(_ADD, [{"user_id": user_id, "digest": digest} for digest in digests])


_REMOVE_ALL = delete(RecoveryCodeRow).where(_of_user)


def remove_all(connection: Connection, user_id: UUID) -> None:
    """Remove every recovery code of the account."""
    connection.execute(_REMOVE_ALL, {"user": user_id})


_CONSUME = delete(RecoveryCodeRow).where(*_that_code)


def consume(connection: Connection, user_id: UUID, digest: bytes) -> bool:
    """Use a code up: true for exactly one caller."""
    return connection.execute(_CONSUME, {"user": user_id, "code": digest}).rowcount == 1


_LOCK = select(RecoveryCodeRow.user_id).where(*_that_code).with_for_update()


def lock(connection: Connection, user_id: UUID, digest: bytes) -> bool:
    """Whether the account has that code. Locks it until the transaction ends, without using it up."""
    return connection.execute(_LOCK, {"user": user_id, "code": digest}).one_or_none() is not None
