"""Attack: add many devices, for many guesses at once, or more of them than an account may have."""

import pytest

from graphql_mfa.services import Services
from tests.api.answers import failure
from tests.api.scenarios import RunApp
from tests.api_client import Api, Member
from tests.clock import Clock
from tests.conftest import Connect, on_each_engine
from tests.devices import Added, add, added, confirm, confirmed, devices_of, wrong_for_all
from tests.security.attacks import at_once, failures_counted, kinds, real_member


async def wrong_for(member: Member, devices: list[Added], api: Api) -> str:
    """A code that none of the account's devices shows."""
    return wrong_for_all([member.secret, *(device.secret for device in devices)], api.clock())


@on_each_engine
@pytest.mark.parametrize("others", [0, 4])
async def test_guesses_at_five_devices_are_no_more_than_at_one(
    api: Api, clock: Clock, services: Services, others: int
) -> None:
    member = await api.member()
    devices = [await confirmed(api, member.access_token) for _ in range(others)]
    code = await wrong_for(member, devices, api)
    challenges = [await api.challenge() for _ in range(10)]

    answers = kinds(await at_once(api.verify_otp(challenge, code) for challenge in challenges * 5))

    assert answers == {"InvalidOtp": 5, "RateLimited": 45}
    assert await failures_counted(services) == 5


async def test_guesses_at_five_unconfirmed_devices_share_the_budget_of_sign_in(
    api: Api, clock: Clock, services: Services
) -> None:
    member = await api.member()
    devices = [await added(api, member.access_token) for _ in range(4)]
    code = await wrong_for(member, devices, api)
    await api.verify_otp(await api.challenge(), code)

    left = [(await confirm(api, member.access_token, device.id, code))["attemptsLeft"] for device in devices]

    assert left == [3, 2, 1, 0]
    assert await failures_counted(services) == 5
    for device in devices:
        assert await confirm(api, member.access_token, device.id, code) == failure("RateLimited", retryAfter=60)
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "RateLimited"


@on_each_engine
async def test_parallel_guesses_at_unconfirmed_devices(api: Api, services: Services) -> None:
    member = await api.member()
    devices = [await added(api, member.access_token) for _ in range(4)]
    code = await wrong_for(member, devices, api)

    answers = kinds(await at_once(confirm(api, member.access_token, device.id, code) for device in devices * 5))

    assert answers == {"InvalidOtp": 5, "RateLimited": 15}
    assert await failures_counted(services) == 5


async def test_guesses_at_unconfirmed_devices_disable_codes_of_all_devices(
    run_app: RunApp, connect: Connect, clock: Clock
) -> None:
    async with run_app(otp_failures_before_disabling=3) as app:
        api = connect(app)
        member = await api.member()
        devices = [await added(api, member.access_token) for _ in range(3)]
        code = await wrong_for(member, devices, api)
        answers = [await confirm(api, member.access_token, device.id, code) for device in devices]
        assert kinds(answers) == {"InvalidOtp": 3}
        assert await confirm(api, member.access_token, devices[0].id, code) == failure("FactorDisabled")
        assert await api.verify_otp(await api.challenge(), code) == failure("FactorDisabled")


@on_each_engine
async def test_six_devices_added_in_parallel_make_five(api: Api) -> None:
    member = await api.member()

    answers = kinds(await at_once(add(api, member.access_token, f"device {number}") for number in range(6)))

    assert answers == {"TotpDeviceAdded": 4, "TooManyDevices": 2}
    assert len(await devices_of(api, member.access_token)) == 5


@on_each_engine
async def test_six_devices_added_in_parallel_at_two_processes_make_five(processes: list[Api], username: str) -> None:
    member = await real_member(processes[0], username)

    answers = kinds(await at_once(add(client, member.access_token) for client in processes * 3))

    assert answers == {"TotpDeviceAdded": 4, "TooManyDevices": 2}
    assert len(await devices_of(processes[1], member.access_token)) == 5
