"""The names of deleted accounts, which nobody may take for a while."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, exists, insert, select

from graphql_mfa.core.secret_tokens import Purpose, digest
from graphql_mfa.store.models import ReservedName

_FORGET = delete(ReservedName).where(ReservedName.digest == bindparam("name_digest"))
_RESERVE = insert(ReservedName)
_RELEASE = _FORGET.where(ReservedName.ends_at > bindparam("now"))
name_is_reserved = exists().where(
    ReservedName.digest == bindparam("name_digest"), ReservedName.ends_at > bindparam("now")
)
_IS_RESERVED = select(name_is_reserved)


def name_digest(key: str) -> bytes:
    """What is kept of a name."""
    return digest(Purpose.RESERVED_NAME, key)


def reserve(connection: Connection, key: str, ends_at: datetime) -> None:
    """Nobody takes the name until then. The caller holds the account that has it, so nobody else reserves it."""
    reserved = name_digest(key)
    # An earlier reservation, over but not purged yet, would be in the way.
    connection.execute(_FORGET, {"name_digest": reserved})
    connection.execute(_RESERVE, {"digest": reserved, "ends_at": ends_at})


def release(connection: Connection, key: str, now: datetime) -> bool:
    """End the reservation of a name. False: it is not reserved."""
    return connection.execute(_RELEASE, {"name_digest": name_digest(key), "now": now}).rowcount == 1


def is_reserved(connection: Connection, key: str, now: datetime) -> bool:
    """Whether the name was an account's that was deleted lately."""
    return bool(connection.scalar(_IS_RESERVED, {"name_digest": name_digest(key), "now": now}))
