"""Operators' views of accounts and changes to them. Operators have the database, and need no password."""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from functools import partial, wraps
from typing import Any, TypeVar

from graphql_mfa.core.accounts import username_key
from graphql_mfa.core.recovery_codes import new_recovery_code
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows import limits
from graphql_mfa.flows.accounts import delete_personal_data
from graphql_mfa.flows.totp import enrollment_code_digest
from graphql_mfa.services import OPERATOR, Services, Transaction
from graphql_mfa.store import (
    Connection,
    accounts,
    operators,
    security_events,
    sessions,
    sign_in,
    throttles,
    totp,
)
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.security_events import StoredEvent

T = TypeVar("T")

_PAGE_ROWS = 500
_SHOWN_EVENTS = 20


@dataclass(frozen=True)
class UserDetails:
    """An account, how many confirmed devices and live sessions it has, and its latest events. No secret or digest."""

    user: StoredUser
    devices: int
    sessions: int
    events: list[StoredEvent]


async def list_users(services: Services, *, prefix: str, limit: int) -> AsyncIterator[StoredUser]:
    """Accounts in the order of their names, a page at a time."""
    after, now = "", services.clock()
    while limit > 0:
        rows = min(limit, _PAGE_ROWS)
        found = await services.database.read(
            partial(operators.page, now=now, prefix=username_key(prefix.lstrip()), after=after, rows=rows)
        )
        for user in found:
            yield user
        if len(found) < rows:
            return
        after = found[-1].key
        limit -= len(found)


async def show_user(services: Services, username: str) -> UserDetails | None:
    """One account in detail; None when there is no such account."""
    now = services.clock()

    def show(connection: Connection) -> UserDetails | None:
        user = operators.find(connection, username_key(username), now)
        if user is None:
            return None
        return UserDetails(
            user,
            devices=user.devices if user.account.mfa_enabled else 0,
            sessions=operators.count_sessions(connection, user.id, now),
            events=security_events.newest(connection, user.id, _SHOWN_EVENTS),
        )

    return await services.database.read(show)


def _locks_account(
    use_case: Callable[[Transaction, StoredUser], T],
) -> Callable[[Services, str], Coroutine[Any, Any, T | None]]:
    """Run it in a transaction that locks the account of a username first. None: no such account."""

    @wraps(use_case)
    async def run(services: Services, username: str) -> T | None:
        def transact(transaction: Transaction) -> T | None:
            user = operators.lock(transaction.connection, username_key(username), transaction.now)
            return None if user is None else use_case(transaction, user)

        return await services.write(OPERATOR, transact)

    return run


@_locks_account
def unlock(transaction: Transaction, user: StoredUser) -> bool:
    """Switch one-time codes on again, and forget what was counted against the account."""
    transaction.record(user.id, SecurityEventKind.UNLOCKED_BY_OPERATOR)
    _forget_failures(transaction, user)
    return True


@dataclass(frozen=True)
class NeverConfirmed:
    """The account is a registration that its owner did not confirm; it was left as it is."""

    expires_at: datetime


@_locks_account
def reset_mfa(transaction: Transaction, user: StoredUser) -> str | NeverConfirmed:
    """Remove every factor, session and challenge; return the code that a new enrollment needs.

    What was counted against the account is forgotten as well: it was about factors that are gone. A registration that
    was never confirmed is left as it is: after a reset it would never expire.
    """
    if user.enrollment_expires_at:
        return NeverConfirmed(user.enrollment_expires_at)
    transaction.record(user.id, SecurityEventKind.MFA_RESET_BY_OPERATOR)
    code = new_recovery_code()
    _sign_out(transaction, user)
    operators.require_enrollment(transaction.connection, user.id, enrollment_code_digest(code))
    _forget_failures(transaction, user)
    return code


@_locks_account
def disable(transaction: Transaction, user: StoredUser) -> bool:
    """End every session and challenge, and refuse sign-ins as if there were no such account."""
    transaction.record(user.id, SecurityEventKind.DISABLED_BY_OPERATOR)
    _sign_out(transaction, user)
    operators.set_disabled(transaction.connection, user.id, transaction.now)
    return True


@_locks_account
def enable(transaction: Transaction, user: StoredUser) -> bool:
    """Let the owner of a disabled account sign in again."""
    if user.disabled:
        transaction.record(user.id, SecurityEventKind.ENABLED_BY_OPERATOR)
        operators.set_disabled(transaction.connection, user.id, None)
    return True


@_locks_account
def delete(transaction: Transaction, user: StoredUser) -> bool:
    """Delete the account with everything personal. Its name is reserved for a while if it was ever confirmed."""
    transaction.record(user.id, SecurityEventKind.DELETED_BY_OPERATOR)
    delete_personal_data(transaction, user.account, reserve_name=user.enrollment_expires_at is None)
    return True


async def release_name(services: Services, username: str) -> bool:
    """Let the name of a deleted account be registered again. False: it is not reserved."""
    now = services.clock()
    key = username_key(username)
    return await services.database.write(lambda connection: accounts.release_name(connection, key, now))


def _sign_out(transaction: Transaction, user: StoredUser) -> None:
    sign_in.end_challenges(transaction.connection, user.id)
    sessions.end_all(transaction.connection, user.id, transaction.now)


def _forget_failures(transaction: Transaction, user: StoredUser) -> None:
    connection = transaction.connection
    totp.forget_otp_failures(connection, user.id)
    throttles.forget(connection, limits.of_account(user.id, user.key, sign_in.known_addresses(connection, user.id)))
