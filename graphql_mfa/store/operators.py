"""What only operators do with accounts: page through all, import a device, reset, disable."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, String, bindparam, delete, func, insert, select, update

from graphql_mfa.store import passkeys, totp
from graphql_mfa.store.accounts import StoredUser, is_live, select_users, that_name, user_of
from graphql_mfa.store.models import RecoveryCodeRow, SessionRow, TotpDeviceRow, UserRow
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
_ADD_DEVICE = insert(TotpDeviceRow)
_REMOVE_RECOVERY_CODES = delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == bindparam("user"))
_change = update(UserRow).where(UserRow.id == bindparam("user"))
_REQUIRE_ENROLLMENT = _change.values(
    mfa_enabled_at=None, enrollment_expires_at=None, enrollment_code_digest=bindparam("code")
)
_SET_DISABLED = _change.values(disabled_at=bindparam("since"))


def find(connection: Connection, key: str, now: datetime) -> StoredUser | None:
    """The account of that name, disabled or not."""
    row = connection.execute(_FIND, {"name": key, "now": now}).one_or_none()
    return None if row is None else user_of(row)


def lock(connection: Connection, key: str, now: datetime) -> StoredUser | None:
    """As `find`, and lock its row."""
    row = connection.execute(_LOCK, {"name": key, "now": now}).one_or_none()
    return None if row is None else user_of(row)


def page(connection: Connection, now: datetime, *, prefix: str, after: str, rows: int) -> list[StoredUser]:
    """Some accounts in the order of their names, from the one after `after` on."""
    found = connection.execute(_PAGE, {"after": after, "prefix": prefix, "rows": rows, "now": now})
    return [user_of(row) for row in found]


def count_sessions(connection: Connection, id: UUID, now: datetime) -> int:
    """How many live sessions the account has."""
    return connection.scalar(_COUNT_SESSIONS, {"user": id, "now": now}) or 0


def add_device(connection: Connection, row: dict[str, Any]) -> None:
    """Import the authenticator app of an account that was just imported."""
    connection.execute(_ADD_DEVICE, row)


def require_enrollment(connection: Connection, id: UUID, code_digest: bytes) -> None:
    """Remove every factor, and require that code for a new enrollment."""
    totp.remove_all(connection, id)
    passkeys.remove_all(connection, id)
    connection.execute(_REMOVE_RECOVERY_CODES, {"user": id})
    connection.execute(_REQUIRE_ENROLLMENT, {"user": id, "code": code_digest})


def set_disabled(connection: Connection, id: UUID, since: datetime | None) -> None:
    """Refuse sign-ins to the account; or, without a time, allow them again."""
    connection.execute(_SET_DISABLED, {"user": id, "since": since})
