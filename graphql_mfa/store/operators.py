"""Accounts, for operators only: page through all of them, reset, disable."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, String, bindparam, func, select

from graphql_mfa.store import find_all, find_one, passkeys, recovery_codes, totp
from graphql_mfa.store.accounts import StoredUser, is_live, select_users, that_name, update_user, user_of
from graphql_mfa.store.models import SessionRow, UserRow
from graphql_mfa.store.sessions import lives

_FIND = select_users.where(that_name, is_live)
_LOCK = _FIND.with_for_update(of=UserRow)
_prefix = bindparam("prefix", type_=String)
_PAGE = (
    select_users.where(
        UserRow.username_key > bindparam("after"),
        func.substr(UserRow.username_key, 1, func.length(_prefix)) == _prefix,
        is_live,
    )
    .order_by(UserRow.username_key)
    .limit(bindparam("rows"))
)
_COUNT_SESSIONS = select(func.count()).where(SessionRow.user_id == bindparam("user"), lives)


def find(connection: Connection, key: str, now: datetime) -> StoredUser | None:
    """The account of that name, disabled or not."""
    return find_one(connection, _FIND, {"name": key, "now": now}, user_of)


def lock(connection: Connection, key: str, now: datetime) -> StoredUser | None:
    """As `find`, and lock its row."""
    return find_one(connection, _LOCK, {"name": key, "now": now}, user_of)


def page(connection: Connection, now: datetime, *, prefix: str, after: str, rows: int) -> list[StoredUser]:
    """Some accounts in the order of their names, from the one after `after` on."""
    return find_all(connection, _PAGE, {"after": after, "prefix": prefix, "rows": rows, "now": now}, user_of)


def count_sessions(connection: Connection, id: UUID, now: datetime) -> int:
    """How many live sessions the account has."""
    return connection.scalar(_COUNT_SESSIONS, {"user": id, "now": now}) or 0


def require_enrollment(connection: Connection, id: UUID, code_digest: bytes) -> None:
    """Remove every factor, and require that code for a new enrollment."""
    totp.remove_all(connection, id)
    passkeys.remove_all(connection, id)
    recovery_codes.remove_all(connection, id)
    columns = {"mfa_enabled_at": None, "enrollment_expires_at": None, "enrollment_code_digest": code_digest}
    connection.execute(update_user, {"user": id, **columns})


def set_disabled(connection: Connection, id: UUID, since: datetime | None) -> None:
    """Refuse sign-ins to the account; or, without a time, allow them again."""
    connection.execute(update_user, {"user": id, "disabled_at": since})
