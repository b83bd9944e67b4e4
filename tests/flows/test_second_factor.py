"""One code and several devices."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, select

from graphql_mfa.core.totp import Accepted, AlreadyUsed, ClockBehind, CodeVerdict, Wrong, new_secret
from graphql_mfa.flows.totp import match_devices, seal_secret
from graphql_mfa.services import OPERATOR, Services, Transaction
from graphql_mfa.store.models import TotpDeviceRow
from graphql_mfa.store.totp import StoredDevice
from tests.authenticator import code_of_step
from tests.conftest import on_each_engine
from tests.devices import wrong_for_all
from tests.store import rows

pytestmark = on_each_engine

NOW = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)
STEP = int(NOW.timestamp()) // 30
ONE, OTHER, THIRD = (new_secret() for _ in range(3))
Given = tuple[str, int | None]


async def judged(services: Services, otp: str, *devices: Given) -> tuple[CodeVerdict, list[int | None]]:
    """The verdict on a code, and the last step of each device afterwards; a device is its secret and its last step."""

    def transact(transaction: Transaction) -> tuple[CodeVerdict, list[int | None]]:
        connection = transaction.connection
        user = rows.add_user(connection)
        stored = [add(connection, user, secret, last_step) for secret, last_step in devices]
        verdict, _ = match_devices(transaction, stored, otp)
        steps = {row.id: row.last_step for row in connection.execute(select(TotpDeviceRow.id, TotpDeviceRow.last_step))}
        return verdict, [steps[device.id] for device in stored]

    def add(connection: Connection, user: UUID, secret: str, last_step: int | None) -> StoredDevice:
        device_id = uuid4()
        seal = seal_secret(services.key_ring, device_id, secret)
        columns = {"sealed_secret": seal, "key_id": services.key_ring.current.id, "confirmed_at": NOW}
        rows.add_device(connection, user, id=device_id, last_step=last_step, **columns)
        return StoredDevice(device_id, seal, last_step)

    return await replace(services, clock=lambda: NOW).write(OPERATOR, transact)


@pytest.mark.parametrize("position", range(3))
async def test_a_code_of_any_device_is_right_and_claims_a_step_of_that_device_only(
    services: Services, position: int
) -> None:
    secrets = [ONE, OTHER]
    secrets.insert(position, THIRD)
    verdict, steps = await judged(services, code_of_step(THIRD, STEP), *((secret, None) for secret in secrets))
    assert verdict == Accepted(STEP)
    assert steps == [STEP if secret == THIRD else None for secret in secrets]


@pytest.mark.parametrize("used_first", [True, False])
async def test_a_code_that_two_devices_show_is_accepted_for_the_one_where_it_is_unused(
    services: Services, used_first: bool
) -> None:
    devices: list[Given] = [(ONE, STEP), (ONE, STEP - 5)]
    verdict, steps = await judged(services, code_of_step(ONE, STEP), *(devices if used_first else devices[::-1]))
    assert verdict == Accepted(STEP)
    assert steps == [STEP, STEP]


async def test_a_code_that_two_devices_show_is_refused_once_used_on_both(services: Services) -> None:
    verdict, steps = await judged(services, code_of_step(ONE, STEP), (ONE, STEP), (ONE, STEP))
    assert verdict == AlreadyUsed(STEP)
    assert steps == [STEP, STEP]


async def test_a_code_that_two_devices_show_claims_one_step_at_a_time(services: Services) -> None:
    verdict, steps = await judged(services, code_of_step(ONE, STEP), (ONE, None), (ONE, None))
    assert verdict == Accepted(STEP)
    assert steps == [STEP, None]


@pytest.mark.parametrize("reverse", [True, False])
async def test_a_slow_clock_or_used_code_is_reported_regardless_of_other_devices(
    services: Services, reverse: bool
) -> None:
    def ordered(*devices: Given) -> list[Given]:
        return list(devices[::-1] if reverse else devices)

    used, _ = await judged(services, code_of_step(ONE, STEP), *ordered((ONE, STEP), (OTHER, None)))
    assert used == AlreadyUsed(STEP)


async def test_a_slow_clock_is_reported_for_its_device(services: Services) -> None:
    verdict, steps = await judged(services, code_of_step(OTHER, STEP - 4), (ONE, None), (OTHER, STEP - 9))
    assert verdict == ClockBehind(120)
    assert steps == [None, STEP - 9]


async def test_a_code_of_no_device_is_wrong(services: Services) -> None:
    verdict, steps = await judged(services, wrong_for_all([ONE, OTHER], NOW), (ONE, None), (OTHER, STEP))
    assert verdict == Wrong()
    assert steps == [None, STEP]


async def test_without_devices_every_code_is_wrong(services: Services) -> None:
    assert await judged(services, "000000") == (Wrong(), [])
