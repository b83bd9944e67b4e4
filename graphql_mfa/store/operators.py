"""What only operators do with accounts: find by name, page through all, import, reset, disable."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, String, bindparam, delete, func, select, update

from graphql_mfa.store import insert_unless_there
from graphql_mfa.store.accounts import StoredUser, is_live, select_users, that_name, user_of
from graphql_mfa.store.models import ChallengeRow, RecoveryCodeRow, SessionRow, TotpDeviceRow, UserRow

_BY_NAME = select_users.where(that_name, is_live)
_that_user = UserRow.id == bindparam("user")


@dataclass(frozen=True)
class Belongings:
    """How much an account has: confirmed devices, unused recovery codes, live sessions."""

    devices: int
    recovery_codes: int
    sessions: int


def find(connection: Connection, key: str, now: datetime) -> StoredUser | None:
    """The account of that name."""
    row = connection.execute(_BY_NAME, {"name": key, "now": now}).one_or_none()
    return None if row is None else user_of(row)


_LOCK_BY_NAME = _BY_NAME.with_for_update(of=UserRow)


def lock(connection: Connection, key: str, now: datetime) -> StoredUser | None:
    """Lock the row of the account of that name."""
    row = connection.execute(_LOCK_BY_NAME, {"name": key, "now": now}).one_or_none()
    return None if row is None else user_of(row)


_prefix = bindparam("prefix", type_=String)
_begins_so = func.substr(UserRow.username_key, 1, func.length(_prefix)) == _prefix
_PAGE = (
    select_users.where(UserRow.username_key > bindparam("after"), _begins_so, is_live)
    .order_by(UserRow.username_key)
    .limit(bindparam("rows"))
)


def page(connection: Connection, now: datetime, *, prefix: str, after: str, rows: int) -> list[StoredUser]:
    """Some accounts in the order of their names, from the one after `after` on."""
    found = connection.execute(_PAGE, {"after": after, "prefix": prefix, "rows": rows, "now": now})
    return [user_of(row) for row in found]


_COUNT_DEVICES = select(func.count()).where(
    TotpDeviceRow.user_id == bindparam("user"), TotpDeviceRow.confirmed_at.is_not(None)
)
_COUNT_RECOVERY_CODES = select(func.count()).where(RecoveryCodeRow.user_id == bindparam("user"))
_COUNT_SESSIONS = select(func.count()).where(
    SessionRow.user_id == bindparam("user"), SessionRow.expires_at > bindparam("now")
)


def belongings(connection: Connection, id: UUID, now: datetime) -> Belongings:
    """Count what the account has."""
    given = {"user": id, "now": now}
    return Belongings(
        connection.scalar(_COUNT_DEVICES, given) or 0,
        connection.scalar(_COUNT_RECOVERY_CODES, given) or 0,
        connection.scalar(_COUNT_SESSIONS, given) or 0,
    )


def add_device(connection: Connection, row: dict[str, Any]) -> None:
    """Import the authenticator app of an account that was just imported."""
    insert_unless_there(connection, TotpDeviceRow, [row])


_SIGNED_IN_BY = [delete(model).where(model.user_id == bindparam("user")) for model in (SessionRow, ChallengeRow)]


def sign_out(connection: Connection, id: UUID) -> None:
    """End every session and every open challenge."""
    _run(connection, _SIGNED_IN_BY, id)


_REQUIRE_ENROLLMENT = (
    update(UserRow)
    .where(_that_user)
    .values(mfa_enabled_at=None, enrollment_expires_at=None, enrollment_code_digest=bindparam("code"))
)
_FACTORS = [delete(model).where(model.user_id == bindparam("user")) for model in (TotpDeviceRow, RecoveryCodeRow)]


def require_enrollment(connection: Connection, id: UUID, code_digest: bytes) -> None:
    """Remove every factor, and require that code for a new enrollment."""
    _run(connection, _FACTORS, id)
    connection.execute(_REQUIRE_ENROLLMENT, {"user": id, "code": code_digest})


_SET_DISABLED = update(UserRow).where(_that_user).values(disabled_at=bindparam("since"))


def set_disabled(connection: Connection, id: UUID, since: datetime | None) -> None:
    """Refuse sign-ins to the account; or, without a time, allow them again."""
    connection.execute(_SET_DISABLED, {"user": id, "since": since})


def _run(connection: Connection, statements: Sequence[Any], id: UUID) -> None:
    for statement in statements:
        connection.execute(statement, {"user": id})
