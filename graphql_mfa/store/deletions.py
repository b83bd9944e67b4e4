"""Erasing the security events of accounts that are gone, a bounded number of rows in each transaction."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, delete, insert, select, update

from graphql_mfa.store.models import Deletion, SecurityEvent

# Events of one account are fewer, unless somebody made them; then the purge goes on.
_AT_ONCE = 500

_of_user = SecurityEvent.user_id == bindparam("user")
_some = SecurityEvent.id.in_(
    select(SecurityEvent.id).where(_of_user).order_by(SecurityEvent.id).limit(bindparam("rows"))
)
_REMOVE = delete(SecurityEvent).where(_some, _of_user)
_of_all = SecurityEvent.user_id.in_(bindparam("users", expanding=True))
_REMOVE_OF_ALL = delete(SecurityEvent).where(
    SecurityEvent.id.in_(select(SecurityEvent.id).where(_of_all).limit(bindparam("rows"))), _of_all
)
_MAKE_ANONYMOUS = (
    update(SecurityEvent)
    .where(_some, _of_user)
    .values(user_id=bindparam("replacement", type_=Uuid()), ip_address=None, user_agent=None)
)
_ADD = insert(Deletion)
# Its row is locked, so that of two purges none takes the other's batch for the end.
_FIRST = (
    select(Deletion.user_id, Deletion.replacement_id)
    .where(Deletion.since <= bindparam("now"))
    .order_by(Deletion.since, Deletion.user_id)
    .limit(1)
    .with_for_update()
)
_FINISH = delete(Deletion).where(Deletion.user_id == bindparam("user"))


def erase_events(connection: Connection, user_id: UUID, replacement_id: UUID | None, now: datetime) -> None:
    """Remove the events of an account that was deleted in this transaction, or make them anonymous.

    Those that one statement leaves are erased by the purge. replacement_id: what an anonymous event has in place of
    the account's id; without one, events are removed.
    """
    if _erase(connection, user_id, replacement_id, _AT_ONCE) == _AT_ONCE:
        connection.execute(_ADD, {"user_id": user_id, "replacement_id": replacement_id, "since": now})


def remove_events(connection: Connection, user_ids: Sequence[UUID], now: datetime) -> None:
    """Remove the events of accounts that were deleted in this transaction, some now, the others by the purge."""
    if connection.execute(_REMOVE_OF_ALL, {"users": user_ids, "rows": _AT_ONCE}).rowcount == _AT_ONCE:
        connection.execute(_ADD, [{"user_id": user_id, "replacement_id": None, "since": now} for user_id in user_ids])


def erase_batch(connection: Connection, now: datetime, rows: int) -> int:
    """Erase up to `rows` events of the accounts that have waited longest; return how many rows changed."""
    changed = 0
    while changed < rows and (deletion := connection.execute(_FIRST, {"now": now}).one_or_none()):
        left = rows - changed
        erased = _erase(connection, deletion.user_id, deletion.replacement_id, left)
        changed += erased
        if erased < left:
            changed += connection.execute(_FINISH, {"user": deletion.user_id}).rowcount
    return changed


def _erase(connection: Connection, user_id: UUID, replacement_id: UUID | None, rows: int) -> int:
    given = {"user": user_id, "rows": rows}
    if replacement_id is None:
        return connection.execute(_REMOVE, given).rowcount
    return connection.execute(_MAKE_ANONYMOUS, given | {"replacement": replacement_id}).rowcount
