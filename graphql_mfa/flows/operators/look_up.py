"""What an operator sees of accounts. Never a secret, nor the digest of one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from graphql_mfa.core.texts import trim
from graphql_mfa.core.usernames import username_key
from graphql_mfa.store import Connection, administration, security_events
from graphql_mfa.store.administration import Belongings, UserRecord
from graphql_mfa.store.database import Database
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
            partial(administration.page, now=now, prefix=username_key(prefix.lstrip()), after=after, rows=rows)
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
        user = administration.find(connection, username_key(trim(username)), now)
        if user is None:
            return None
        belongings = administration.belongings(connection, user.id, now)
        return UserDetails(user, belongings, security_events.newest(connection, user.id, _SHOWN_EVENTS))

    return await database.read(look)
