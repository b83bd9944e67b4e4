"""What operators see of accounts and do to them. They have the database, and need no password."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from graphql_mfa.core.recovery_codes import new_recovery_code
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.texts import trim
from graphql_mfa.core.usernames import username_key
from graphql_mfa.event_log import EventLog
from graphql_mfa.flows import limits
from graphql_mfa.flows.accounts import delete_with_all_that_is_personal
from graphql_mfa.flows.totp import enrollment_code_digest
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, accounts, operators, outbox, security_events, sign_in, throttles, totp
from graphql_mfa.store.database import Database
from graphql_mfa.store.operators import Belongings, UserRecord
from graphql_mfa.store.outbox import SinkState
from graphql_mfa.store.security_events import StoredEvent

_PAGE_ROWS = 500
_SHOWN_EVENTS = 20


@dataclass(frozen=True)
class UserDetails:
    """An account, what it has, and what happened to it lately."""

    user: UserRecord
    belongings: Belongings
    events: list[StoredEvent]


async def list_users(database: Database, now: datetime, *, prefix: str, limit: int) -> AsyncIterator[UserRecord]:
    """Accounts in the order of their names, a page at a time."""
    after = ""
    while limit > 0:
        rows = min(limit, _PAGE_ROWS)
        found = await database.read(
            partial(operators.page, now=now, prefix=username_key(prefix.lstrip()), after=after, rows=rows)
        )
        for user in found:
            yield user
        if len(found) < rows:
            return
        after = found[-1].key
        limit -= len(found)


async def show_user(database: Database, username: str, now: datetime) -> UserDetails | None:
    """One account in detail; None when nobody has that name."""

    def look(connection: Connection) -> UserDetails | None:
        user = operators.find(connection, username_key(trim(username)), now)
        if user is None:
            return None
        belongings = operators.belongings(connection, user.id, now)
        return UserDetails(user, belongings, security_events.newest(connection, user.id, _SHOWN_EVENTS))

    return await database.read(look)


T = TypeVar("T")


@dataclass(frozen=True)
class NeverConfirmed:
    """The account is a registration that its owner did not confirm; nothing was done to it."""

    expires_at: datetime


async def unlock(database: Database, settings: Settings, username: str, now: datetime) -> bool:
    """Switch one-time codes on again, and forget what was counted against the account. False: no such account."""

    def act(connection: Connection, user: UserRecord) -> bool:
        totp.forget_otp_failures(connection, user.id)
        throttles.forget(connection, _counted(connection, user))
        return True

    return bool(await _act(database, settings, username, now, SecurityEventKind.UNLOCKED_BY_OPERATOR, act))


async def reset_mfa(
    database: Database, settings: Settings, username: str, now: datetime
) -> str | NeverConfirmed | None:
    """Remove every factor, session and challenge; return the code that a new enrollment needs. None: no such account.

    What was counted against the account is forgotten as well: it was about factors that are gone. A registration that
    was never confirmed would be an account that stays, whoever made it.
    """

    def leave_alone(user: UserRecord) -> NeverConfirmed | None:
        return NeverConfirmed(user.enrollment_expires_at) if user.enrollment_expires_at else None

    def act(connection: Connection, user: UserRecord) -> str | NeverConfirmed:
        code = new_recovery_code()
        operators.sign_out(connection, user.id)
        operators.demand_enrollment(connection, user.id, enrollment_code_digest(code))
        totp.forget_otp_failures(connection, user.id)
        throttles.forget(connection, _counted(connection, user))
        return code

    return await _act(database, settings, username, now, SecurityEventKind.MFA_RESET_BY_OPERATOR, act, leave_alone)


async def disable(database: Database, settings: Settings, username: str, now: datetime) -> bool:
    """End every session and challenge, and let nobody sign in: to them it is as if there were no such account."""

    def act(connection: Connection, user: UserRecord) -> bool:
        operators.sign_out(connection, user.id)
        operators.set_disabled(connection, user.id, now)
        return True

    return bool(await _act(database, settings, username, now, SecurityEventKind.DISABLED_BY_OPERATOR, act))


async def enable(database: Database, settings: Settings, username: str, now: datetime) -> bool:
    """Let its owner sign in to a disabled account again."""

    def leave_alone(user: UserRecord) -> bool | None:
        return None if user.disabled else True

    def act(connection: Connection, user: UserRecord) -> bool:
        operators.set_disabled(connection, user.id, None)
        return True

    return bool(await _act(database, settings, username, now, SecurityEventKind.ENABLED_BY_OPERATOR, act, leave_alone))


async def delete(database: Database, settings: Settings, username: str, now: datetime) -> bool:
    """Delete the account with all that is personal. Its name is reserved for a while if it was ever confirmed."""

    def act(connection: Connection, user: UserRecord) -> bool:
        was_registered_only = user.enrollment_expires_at is not None
        delete_with_all_that_is_personal(
            connection, settings, user.id, user.key, now, reserve_name=not was_registered_only
        )
        return True

    return bool(await _act(database, settings, username, now, SecurityEventKind.DELETED_BY_OPERATOR, act))


async def release_name(database: Database, username: str, now: datetime) -> bool:
    """Let the name of a deleted account be registered again. False: it is not reserved."""
    return await database.write(lambda connection: accounts.release_name(connection, username_key(trim(username)), now))


async def _act(
    database: Database,
    settings: Settings,
    username: str,
    now: datetime,
    kind: SecurityEventKind,
    act: Callable[[Connection, UserRecord], T],
    leave_alone: Callable[[UserRecord], T | None] = lambda _: None,
) -> T | None:
    """leave_alone: what to return, with nothing done, of an account as it is."""

    def transact(connection: Connection) -> T | None:
        user = operators.lock(connection, username_key(trim(username)), now)
        if user is None:
            return None
        if (unchanged := leave_alone(user)) is not None:
            return unchanged
        EventLog.of(settings).record(connection, user.id, now, None, kind)
        return act(connection, user)

    return await database.write(transact)


def _counted(connection: Connection, user: UserRecord) -> list[bytes]:
    return limits.of_account(user.id, user.key, sign_in.known_addresses(connection, user.id))


async def undelivered(database: Database) -> list[SinkState]:
    """What there is, by sink."""
    return await database.read(outbox.counts)


async def retry(database: Database, settings: Settings, now: datetime) -> int:
    """Make everything that was given up due again, a small transaction at a time; return how much it was."""
    total = 0
    while revived := await database.write(partial(outbox.revive, now=now, rows=settings.purge_batch_rows)):
        total += revived
    return total
