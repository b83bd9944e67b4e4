"""addTotpDevice."""

from collections import Counter

import pytest

from graphql_mfa.services import Services
from tests.api.answers import failure
from tests.api.scenarios import RunApp
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect
from tests.devices import add, added, confirm, devices_of, events_of, names_of, remove, rename


async def test_a_device_is_shown_but_does_not_count_until_it_is_confirmed(
    api: Api, clock: Clock, services: Services
) -> None:
    member = await api.member()
    before = await events_of(services)
    answer = await add(api, member.access_token, "Tablet")
    device, secret = answer["device"], answer["enrollment"]["secret"]
    assert device == {
        "__typename": "TotpDevice",
        "id": device["id"],
        "name": "Tablet",
        "confirmed": False,
        "createdAt": clock().isoformat(),
        "lastUsedAt": None,
    }
    assert f"secret={secret}" in answer["enrollment"]["otpauthUri"]
    assert ":alice?" in answer["enrollment"]["otpauthUri"]
    assert answer["user"]["totpDevices"] == await devices_of(api, member.access_token)
    assert answer["user"]["totpDevices"][1:] == [device]
    refused = await api.verify_otp(await api.challenge(), code_at(secret, clock()))
    assert refused["__typename"] == "InvalidOtp"
    assert await events_of(services) == before + Counter(["SIGN_IN_FAILED"])


async def test_every_device_has_its_own_secret(api: Api) -> None:
    member = await api.member()
    devices = [await added(api, member.access_token) for _ in range(4)]
    assert len({member.secret} | {device.secret for device in devices}) == 5
    assert len({device.id for device in devices}) == 4


async def test_a_trailing_space_from_a_phones_keyboard_is_removed_from_the_name(api: Api) -> None:
    member = await api.member()
    answer = await add(api, member.access_token, "👩\u200d💻 ❤\ufe0f ")
    assert answer["device"]["name"] == "👩\u200d💻 ❤\ufe0f"
    renamed = await rename(api, member.access_token, answer["device"]["id"], " ❤\ufe0f phone")
    assert renamed["device"]["name"] == "❤\ufe0f phone"


async def test_an_unreadable_name_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    member = await api.member()

    for name, code in [
        *(("", "TOO_SHORT"), ("x" * 65, "TOO_LONG")),
        *(("a\0b", "INVALID_CHARACTERS"), ("a\u200bb", "INVALID_CHARACTERS")),
    ]:
        with subtests.test(name=name, code=code):
            answer = await add(api, member.access_token, name)
            assert answer["__typename"] == "InvalidInput"
            assert [(field["field"], field["code"]) for field in answer["fields"]] == [("name", code)]
            assert await names_of(api, member.access_token) == ["Authenticator app"]


async def test_an_account_has_at_most_five_devices_until_one_is_removed(api: Api) -> None:
    member = await api.member()
    devices = [await added(api, member.access_token, f"device {number}") for number in range(4)]
    assert await add(api, member.access_token) == failure("TooManyDevices")
    await remove(api, member.access_token, devices[0].id)
    assert (await add(api, member.access_token, "in its place"))["__typename"] == "TotpDeviceAdded"
    names = ["Authenticator app", "device 1", "device 2", "device 3", "in its place"]
    assert sorted(await names_of(api, member.access_token)) == sorted(names)


async def test_a_device_that_was_not_confirmed_in_time_no_longer_counts(
    run_app: RunApp, connect: Connect, clock: Clock
) -> None:
    async with run_app(reauthentication_seconds=3600, access_token_seconds=3600) as app:
        api = connect(app)
        member = await api.member()
        device, *_ = [await added(api, member.access_token) for _ in range(4)]
        clock.advance(599)
        assert await add(api, member.access_token) == failure("TooManyDevices")
        clock.advance(1)
        assert await names_of(api, member.access_token) == ["Authenticator app"]
        late = await confirm(api, member.access_token, device.id, code_at(device.secret, clock()))
        assert late == failure("NotFound")
        assert (await add(api, member.access_token, "in its place"))["__typename"] == "TotpDeviceAdded"
        assert await names_of(api, member.access_token) == ["Authenticator app", "in its place"]
