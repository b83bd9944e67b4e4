"""Conditional updates succeed exactly once among parallel requests."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import NoResultFound

from graphql_mfa.core.accounts import Username, username_key
from graphql_mfa.store import accounts, purging, recovery_codes, sessions, sign_in, totp
from graphql_mfa.store.database import Database
from graphql_mfa.store.models import ChallengeRow, TotpDeviceRow
from tests.conftest import on_each_engine, postgresql_only
from tests.store import rows
from tests.store.rows import LATER, NOW

pytestmark = on_each_engine

CODE, OLD, NEW, NONE, FAMILY = (name.ljust(32) for name in (b"code", b"old", b"new", b"none", b"family"))

Attempt = Callable[[Connection], object]


def a_time_step(connection: Connection) -> Attempt:
    device = rows.add_device(connection, rows.add_user(connection), last_step=99)
    return lambda connection: totp.claim_step(connection, device, 100, NOW)


def a_challenge(connection: Connection) -> Attempt:
    challenge = rows.add_challenge(connection, rows.add_user(connection))

    def answer(connection: Connection) -> bool:
        if sign_in.lock_by_challenge(connection, challenge, NOW, 5) is None:
            return False
        sign_in.consume_challenge(connection, challenge)
        return True

    return answer


def a_recovery_code(connection: Connection) -> Attempt:
    user = rows.add_user(connection)
    recovery_codes.replace(connection, user, [CODE])
    return lambda connection: recovery_codes.consume(connection, user, CODE)


def a_refresh_token(connection: Connection) -> Attempt:
    rows.add_session(connection, rows.add_user(connection), refresh_digest=OLD, family_digest=FAMILY)

    def exchange(connection: Connection) -> bool:
        session = sessions.lock_by_refresh_token(connection, OLD, FAMILY, NOW)
        if session is None or session.refresh_digest != OLD:
            return False
        sessions.rotate(connection, session, replace(session, refresh_digest=NEW))
        return True

    return exchange


def a_name(connection: Connection) -> Attempt:
    return partial(_register, itertools.repeat("alice"))


def a_name_and_those_that_look_like_it(connection: Connection) -> Attempt:
    spellings = itertools.product("cс", "o0о", "cс", "aа")  # noqa: RUF001
    return partial(_register, map("".join, itertools.cycle(spellings)))


def _register(names: Iterator[str], connection: Connection) -> bool:
    shown = next(names)
    name = Username(shown, username_key(shown))
    return accounts.add(connection, id=uuid4(), name=name, password_hash="", now=NOW, enrollment_expires_at=LATER)


@pytest.mark.parametrize(
    "make",
    [a_time_step, a_challenge, a_recovery_code, a_refresh_token, a_name, a_name_and_those_that_look_like_it],
)
async def test_exactly_one_of_many_parallel_uses_succeeds(
    database: Database, other_process: Database, make: Callable[[Connection], Attempt]
) -> None:
    attempt = await database.write(make)
    outcomes = await asyncio.gather(*((database, other_process)[number % 2].write(attempt) for number in range(20)))
    assert sum(bool(outcome) for outcome in outcomes) == 1


@postgresql_only
async def test_parallel_registrations_of_lookalike_names_are_serialised(
    database: Database, other_process: Database
) -> None:
    """Until that is committed, its row can't be seen."""
    inserted = asyncio.Event()
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    def first(connection: Connection) -> bool:
        added = _register(iter(["coca"]), connection)
        inserted.set()
        while not second.done() and not connection.scalar(waiting):
            pass
        return added

    async def follow() -> bool:
        await inserted.wait()
        return await other_process.write(partial(_register, iter(["соса"])))  # noqa: RUF001

    second = asyncio.create_task(follow())
    assert await database.write(first)
    assert not await second


@pytest.mark.parametrize(("last_step", "claimed"), [(None, True), (99, True), (100, False), (101, False)])
async def test_only_a_step_newer_than_the_last_one_can_be_claimed(
    database: Database, last_step: int | None, claimed: bool
) -> None:
    def claim(connection: Connection) -> bool:
        device = rows.add_device(connection, rows.add_user(connection), last_step=last_step)
        return totp.claim_step(connection, device, 100, NOW)

    assert await database.write(claim) is claimed
    step = await database.read(lambda connection: connection.scalar(select(TotpDeviceRow.last_step)))
    assert step == (100 if claimed else last_step)


async def test_only_the_first_claimed_step_confirms_the_device(
    database: Database,
) -> None:
    def claim_twice(connection: Connection) -> object:
        device = rows.add_device(connection, rows.add_user(connection))
        totp.claim_step(connection, device, 100, NOW)
        totp.claim_step(connection, device, 101, LATER)
        return connection.scalar(select(TotpDeviceRow.confirmed_at))

    assert await database.write(claim_twice) == NOW


async def test_a_claimed_step_sets_last_used_and_clears_the_expiry(database: Database) -> None:
    def claim(connection: Connection) -> None:
        device = rows.add_device(connection, rows.add_user(connection), expires_at=LATER)
        assert totp.claim_step(connection, device, 100, NOW)
        assert connection.execute(select(TotpDeviceRow.last_used_at, TotpDeviceRow.expires_at)).one() == (NOW, None)
        assert not totp.claim_step(connection, device, 100, LATER)
        assert connection.scalar(select(TotpDeviceRow.last_used_at)) == NOW
        assert totp.claim_step(connection, device, 101, LATER)
        assert connection.scalar(select(TotpDeviceRow.last_used_at)) == LATER

    await database.write(claim)


async def test_a_device_is_confirmed_at_its_last_moment_or_purged_but_never_both(
    database: Database, other_process: Database
) -> None:
    devices: dict[UUID, UUID] = {}

    def fill(connection: Connection) -> None:
        user = rows.add_user(connection)
        devices.update((rows.add_device(connection, user, expires_at=LATER), user) for _ in range(20))

    def confirm(device: UUID) -> Callable[[Connection], bool]:
        def transact(connection: Connection) -> bool:
            held = totp.lock(connection, device, devices[device], NOW)
            claimed = held is not None and totp.claim_step(connection, device, 100, NOW)
            assert claimed is (held is not None)
            return claimed

        return transact

    await database.write(fill)
    day = timedelta(days=1)
    batches = purging.batches(
        LATER,
        rows=1,
        otp_failure_window=day,
        event_retention=day,
        known_address_retention=day,
        outbox_retention=day,
        ceremony_retention=day,
    )
    purge = batches["totp_devices"]
    outcomes = await asyncio.gather(
        *(other_process.write(purge) for _ in devices), *(database.write(confirm(device)) for device in devices)
    )
    purged, confirmed = sum(outcomes[:20]), sum(outcomes[20:])
    left = await database.read(lambda connection: connection.execute(select(TotpDeviceRow.confirmed_at)).all())
    assert purged + confirmed == 20
    assert len(left) == confirmed
    assert all(row.confirmed_at == NOW for row in left)


async def test_no_more_attempts_are_counted_than_a_challenge_has(database: Database, other_process: Database) -> None:
    challenge = await database.write(lambda connection: rows.add_challenge(connection, rows.add_user(connection)))

    def answer(connection: Connection) -> int | None:
        locked = sign_in.lock_by_challenge(connection, challenge, NOW, 5)
        if locked is None:
            return None
        sign_in.count_attempt(connection, challenge)
        return locked.attempts_left

    left = await asyncio.gather(*((database, other_process)[number % 2].write(answer) for number in range(10)))
    assert left.count(None) == 5
    assert {attempts for attempts in left if attempts is not None} == {4, 3, 2, 1, 0}
    assert await database.read(lambda connection: connection.scalar(select(ChallengeRow.attempts))) == 5


async def test_a_rotated_session_is_found_by_its_new_token_and_by_its_family(database: Database) -> None:
    """Also one that an earlier release opened, which gets its family then."""

    def rotate(connection: Connection) -> None:
        rows.add_session(connection, rows.add_user(connection), refresh_digest=OLD)
        session = sessions.lock_by_refresh_token(connection, OLD, FAMILY, NOW)
        assert session is not None
        now = NOW + timedelta(minutes=5)
        rotated = replace(session, refresh_digest=NEW, family_digest=FAMILY, generation=1, refreshed_at=now)
        sessions.rotate(connection, session, rotated)
        for token, family in ((NEW, NONE), (NONE, FAMILY)):
            assert sessions.lock_by_refresh_token(connection, token, family, now) == rotated
        assert sessions.lock_by_refresh_token(connection, OLD, NONE, now) is None

        with pytest.raises(NoResultFound):
            sessions.rotate(connection, session, rotated)

    await database.write(rotate)


async def test_an_ended_session_is_not_found_by_its_token(database: Database) -> None:
    def look_up(connection: Connection) -> object:
        rows.add_session(connection, rows.add_user(connection), refresh_digest=OLD, family_digest=FAMILY)
        return sessions.lock_by_refresh_token(connection, OLD, FAMILY, LATER)

    assert await database.write(look_up) is None


async def test_lookalike_names_can_be_reserved_in_parallel(database: Database) -> None:
    await asyncio.gather(
        *(database.write(partial(accounts.reserve_name, key=key, ends_at=LATER)) for key in ["bobby", "b0bby"] * 10)
    )
    for key in ("bobby", "b0bby"):
        assert await database.read(partial(accounts.is_reserved, key=key, now=NOW))
