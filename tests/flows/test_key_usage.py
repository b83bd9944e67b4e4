"""Which data needs a key, and whether the key can leave the ring."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from graphql_mfa import Settings
from graphql_mfa.core.keys import Key, KeyRing
from graphql_mfa.flows.keys import KeyPlace, KeyUsage, key_usage
from graphql_mfa.services import Services
from tests.conftest import on_each_engine
from tests.store import rows
from tests.store.rows import NOW

pytestmark = on_each_engine

CURRENT, OLDER, LOST = (Key(name.ljust(32)) for name in (b"current", b"older", b"lost"))
LEAKED = Key(b"leaked".ljust(32), decrypt_only=True)
RING = KeyRing([CURRENT, OLDER, LEAKED])


async def usage(services: Services, *, seconds: int, **settings: int) -> list[KeyUsage]:
    return await key_usage(services.database, RING, Settings(**settings), NOW + timedelta(seconds=seconds))  # type: ignore[arg-type]


async def fill(services: Services) -> None:
    """Two devices and three sessions for each key, but for the older one."""

    def add(connection: Connection) -> None:
        user = rows.add_user(connection)
        for key in (CURRENT, LEAKED, LOST):
            for _ in range(2):
                rows.add_device(connection, user, key_id=key.id)
            for _ in range(3):
                rows.add_session(connection, user, key_id=key.id)

    await services.database.write(add)


async def test_each_key_is_listed_with_its_place_and_what_needs_it(services: Services) -> None:
    await fill(services)
    assert await usage(services, seconds=1) == [
        KeyUsage(CURRENT.id, KeyPlace.CURRENT, 2, 3),
        KeyUsage(OLDER.id, KeyPlace.SPARE, 0, 0),
        KeyUsage(LEAKED.id, KeyPlace.DECRYPT_ONLY, 2, 0),
        KeyUsage(LOST.id, KeyPlace.MISSING, 2, 3),
    ]


@pytest.mark.parametrize(
    ("access_token_seconds", "refresh_grace_seconds", "seconds", "sessions"),
    [(600, 10, 599, 3), (600, 10, 600, 0), (5, 10, 9, 3), (5, 10, 10, 0)],
)
async def test_a_session_needs_its_key_while_its_tokens_can_be_checked_or_repeated(
    services: Services, access_token_seconds: int, refresh_grace_seconds: int, seconds: int, sessions: int
) -> None:
    await fill(services)
    lifetimes = {"access_token_seconds": access_token_seconds, "refresh_grace_seconds": refresh_grace_seconds}
    usages = await usage(services, seconds=seconds, **lifetimes)
    assert {usage.place: usage.sessions for usage in usages} == {
        KeyPlace.CURRENT: sessions,
        KeyPlace.SPARE: 0,
        KeyPlace.DECRYPT_ONLY: 0,
        KeyPlace.MISSING: sessions,
    }
