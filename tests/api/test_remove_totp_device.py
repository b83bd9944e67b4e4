"""removeTotpDevice."""

from graphql_mfa.services import Services
from tests.account import act
from tests.api.answers import failure
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.devices import added, confirmed, devices_of, events_of, first_device, names_of, remove


async def test_removing_a_device_keeps_the_others(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    device = await confirmed(api, member.access_token)
    answer = await remove(api, member.access_token, device.id)
    assert (answer["__typename"], answer["id"]) == ("FactorRemoved", device.id)
    assert answer["user"]["totpDevices"] == await devices_of(api, member.access_token)
    assert await names_of(api, member.access_token) == ["Authenticator app"]
    assert (await events_of(services))["TOTP_DEVICE_REMOVED"] == 1
    assert await remove(api, member.access_token, device.id) == failure("NotFound")
    assert (await api.verify_otp(await api.challenge(), code_at(member.secret, clock())))["__typename"] == "SignedIn"


async def test_the_first_device_can_be_removed_once_another_one_is_confirmed(api: Api, clock: Clock) -> None:
    member = await api.member()
    first = await first_device(api, member.access_token)
    device = await added(api, member.access_token)
    assert await remove(api, member.access_token, first) == failure("LastFactor")
    await remove(api, member.access_token, device.id)
    device = await confirmed(api, member.access_token)
    assert (await remove(api, member.access_token, first))["__typename"] == "FactorRemoved"
    clock.advance(30)
    await act(api, "reauthenticate", member.access_token, input={"otp": code_at(device.secret, clock())})
    assert await remove(api, member.access_token, device.id) == failure("LastFactor")
    clock.advance(30)
    assert (await api.verify_otp(await api.challenge(), code_at(device.secret, clock())))["__typename"] == "SignedIn"


async def test_an_unconfirmed_device_is_removed_without_an_event(api: Api, services: Services) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    before = await events_of(services)
    assert (await remove(api, member.access_token, device.id))["__typename"] == "FactorRemoved"
    assert await names_of(api, member.access_token) == ["Authenticator app"]
    assert await events_of(services) == before


async def test_a_failed_removal_changes_nothing(api: Api, services: Services) -> None:
    member = await api.member()
    before = await events_of(services)
    first = await first_device(api, member.access_token)
    assert await remove(api, member.access_token, first) == failure("LastFactor")
    assert await first_device(api, member.access_token) == first
    assert await events_of(services) == before
