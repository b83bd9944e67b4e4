"""Attack: leave an account without a factor, or go on with one that was removed."""

import pytest

from graphql_mfa.services import Services
from tests.api_client import Api, Member
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import on_each_engine
from tests.devices import added, confirm, confirmed, devices_of, events_of, first_device, names_of, remove
from tests.security.attacks import at_once, failures_counted, kinds, real_member, sessions_of


async def session_by_recovery_code(api: Api, member: Member) -> str:
    """The access token of a session that stays fresh whichever app is removed."""
    challenge = await api.challenge(member.username)
    token: str = (await api.verify_recovery_code(challenge, member.recovery_codes[0]))["tokens"]["accessToken"]
    return token


@on_each_engine
async def test_both_devices_removed_in_parallel(api: Api) -> None:
    member = await api.member()
    await confirmed(api, member.access_token)
    token = await session_by_recovery_code(api, member)
    devices = [device["id"] for device in await devices_of(api, token)]

    answers = kinds(await at_once(remove(api, token, device) for device in devices))

    assert answers == {"FactorRemoved": 1, "LastFactor": 1}
    assert len(await devices_of(api, token)) == 1


@on_each_engine
async def test_both_devices_removed_in_parallel_at_two_processes(processes: list[Api], username: str) -> None:
    api = processes[0]
    member = await real_member(api, username)
    await confirmed(api, member.access_token)
    token = await session_by_recovery_code(api, member)
    devices = [device["id"] for device in await devices_of(api, token)]

    answers = kinds(
        await at_once(
            remove(client, token, device)
            for client, device in zip(processes * 4, [*devices, *devices[::-1]] * 2, strict=True)
        )
    )

    assert (answers["FactorRemoved"], len(await devices_of(api, token))) == (1, 1)
    assert set(answers) == {"FactorRemoved", "LastFactor", "NotFound"}


@on_each_engine
async def test_one_device_removed_many_times_in_parallel(api: Api, services: Services) -> None:
    member = await api.member()
    devices = [await confirmed(api, member.access_token) for _ in range(2)]

    answers = kinds(await at_once(remove(api, member.access_token, devices[0].id) for _ in range(10)))

    assert answers == {"FactorRemoved": 1, "NotFound": 9}
    assert (await events_of(services))["TOTP_DEVICE_REMOVED"] == 1


async def test_old_devices_code_after_its_removal(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    device = await confirmed(api, member.access_token)
    challenge = await api.challenge()
    await remove(api, member.access_token, device.id)
    clock.advance(30)
    code = code_at(device.secret, clock())

    at_sign_in = await api.verify_otp(challenge, code)
    confirmation = await confirm(api, member.access_token, device.id, code)

    assert at_sign_in["__typename"] == "InvalidOtp"
    assert confirmation["__typename"] == "NotFound"
    assert await failures_counted(services) == 1
    assert await sessions_of(services) == 1


@on_each_engine
@pytest.mark.parametrize("code_first", [True, False])
async def test_race_of_a_code_against_the_removal_of_its_device(
    api: Api, clock: Clock, services: Services, code_first: bool
) -> None:
    """The code is accepted or finds the device removed; afterwards it is refused, and its session has ended."""
    member = await api.member()
    device = await confirmed(api, member.access_token)
    clock.advance(30)
    challenge, code = await api.challenge(), code_at(device.secret, clock())
    race = [api.verify_otp(challenge, code), remove(api, member.access_token, device.id)]

    answers = kinds(await at_once(race if code_first else race[::-1]))

    assert answers in ({"SignedIn": 1, "FactorRemoved": 1}, {"InvalidOtp": 1, "FactorRemoved": 1})
    assert await sessions_of(services) == 1
    assert await failures_counted(services) == answers["InvalidOtp"]
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "InvalidOtp"
    assert await names_of(api, member.access_token) == ["Authenticator app"]


@on_each_engine
@pytest.mark.parametrize("code_first", [True, False])
async def test_race_of_a_confirmation_against_the_removal(
    api: Api, clock: Clock, services: Services, code_first: bool
) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    race = [
        confirm(api, member.access_token, device.id, code_at(device.secret, clock())),
        remove(api, member.access_token, device.id),
    ]

    answers = kinds(await at_once(race if code_first else race[::-1]))

    assert answers in ({"TotpDeviceConfirmed": 1, "FactorRemoved": 1}, {"NotFound": 1, "FactorRemoved": 1})
    events = await events_of(services)
    assert events["TOTP_DEVICE_ADDED"] == events["TOTP_DEVICE_REMOVED"] == answers["TotpDeviceConfirmed"]
    assert await names_of(api, member.access_token) == ["Authenticator app"]


@on_each_engine
async def test_race_of_two_confirmations_with_one_code(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    code = code_at(device.secret, clock())

    answers = kinds(await at_once(confirm(api, member.access_token, device.id, code) for _ in range(10)))

    assert answers == {"TotpDeviceConfirmed": 1, "OtpAlreadyUsed": 9}
    assert (await events_of(services))["TOTP_DEVICE_ADDED"] == 1


async def test_lost_device_is_replaced_after_a_sign_in_by_recovery_code(
    api: Api, clock: Clock, services: Services
) -> None:
    """The lost device no longer works."""
    member = await api.member()
    lost = await first_device(api, member.access_token)
    signed_in = await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0])
    token = signed_in["tokens"]["accessToken"]

    assert (await remove(api, token, lost))["__typename"] == "LastFactor"
    device = await confirmed(api, token, "New phone")
    assert (await remove(api, token, lost))["__typename"] == "FactorRemoved"

    assert await names_of(api, token) == ["New phone"]
    clock.advance(30)
    found = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    assert found["__typename"] == "InvalidOtp"
    own = await api.verify_otp(await api.challenge(), code_at(device.secret, clock()))
    assert own["__typename"] == "SignedIn"
