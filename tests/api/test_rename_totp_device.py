"""renameTotpDevice."""

from graphql_mfa.services import Services
from tests.account import user_of
from tests.api.answers import failure
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.devices import added, confirm, devices_of, events_of, first_device, names_of, rename


async def test_renaming_changes_only_the_name(api: Api, services: Services) -> None:
    member = await api.member()
    (before,) = await devices_of(api, member.access_token)
    events = await events_of(services)
    answer = await rename(api, member.access_token, before["id"], "Zoë's phone")
    user = await user_of(api, member.access_token)
    assert answer == {"__typename": "TotpDeviceRenamed", "device": before | {"name": "Zoë's phone"}, "user": user}
    assert await devices_of(api, member.access_token) == [before | {"name": "Zoë's phone"}]
    assert await events_of(services) == events


async def test_a_stale_session_and_another_session_can_rename(api: Api, clock: Clock) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    other = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    clock.advance(500)
    renamed = await rename(api, other["tokens"]["accessToken"], device.id, "Laptop")
    assert renamed["device"]["name"] == "Laptop"
    confirmed = await confirm(api, member.access_token, device.id, code_at(device.secret, clock()))
    assert confirmed["device"]["name"] == "Laptop"


async def test_two_devices_may_have_the_same_name(api: Api) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    await rename(api, member.access_token, device.id, "Authenticator app")
    assert await names_of(api, member.access_token) == ["Authenticator app"] * 2


async def test_an_unreadable_name_is_refused_and_the_old_one_stays(api: Api) -> None:
    member = await api.member()
    first = await first_device(api, member.access_token)
    answer = await rename(api, member.access_token, first, "pho\u202ene")
    assert [(field["field"], field["code"]) for field in answer["fields"]] == [("name", "INVALID_CHARACTERS")]
    assert await names_of(api, member.access_token) == ["Authenticator app"]


async def test_a_device_that_was_not_confirmed_in_time_can_not_be_renamed(api: Api, clock: Clock) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    clock.advance(600)
    token = (await api.refresh(member.refresh_token))["tokens"]["accessToken"]
    assert await rename(api, token, device.id) == failure("NotFound")
