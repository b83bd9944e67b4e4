"""confirmTotpDevice."""

import pytest

from graphql_mfa.flows.purging import purge
from graphql_mfa.services import Services
from tests.api.answers import failure
from tests.api.scenarios import NO_RECOVERY_CODE, RunApp
from tests.api_client import Api
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import Connect
from tests.devices import added, confirm, confirmed, devices_of, events_of, first_device
from tests.security.attacks import failures_counted


async def test_a_confirmed_device_counts(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    clock.advance(3)
    answer = await confirm(api, member.access_token, device.id, code_at(device.secret, clock()))
    shown = answer["device"]
    assert (shown["id"], shown["name"], shown["confirmed"]) == (device.id, "Tablet", True)
    assert shown["lastUsedAt"] == clock().isoformat() != shown["createdAt"]
    assert answer["user"]["totpDevices"][1] == shown == (await devices_of(api, member.access_token))[1]
    assert (await events_of(services))["TOTP_DEVICE_ADDED"] == 1
    clock.advance(30)
    for secret in (device.secret, member.secret):
        signed_in = await api.verify_otp(await api.challenge(), code_at(secret, clock()))
        assert signed_in["__typename"] == "SignedIn"


async def test_a_confirmed_device_stays(run_app: RunApp, connect: Connect, clock: Clock) -> None:
    async with run_app() as app:
        api = connect(app)
        member = await api.member()
        device = await confirmed(api, member.access_token)
        clock.advance(600)
        services: Services = app.state.services
        assert (await purge(services.database, services.settings, clock()))["totp_devices"] == 0
        signed_in = await api.verify_otp(await api.challenge(), code_at(device.secret, clock()))
        assert signed_in["__typename"] == "SignedIn"


async def test_the_adding_session_can_confirm_after_a_refresh_and_when_stale(api: Api, clock: Clock) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    clock.advance(599)
    refreshed = await api.refresh(member.refresh_token)
    token = refreshed["tokens"]["accessToken"]
    answer = await confirm(api, token, device.id, code_at(device.secret, clock()))
    assert answer["__typename"] == "TotpDeviceConfirmed"


async def test_a_device_can_be_confirmed_for_ten_minutes(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    clock.advance(600)
    token = (await api.refresh(member.refresh_token))["tokens"]["accessToken"]
    assert await confirm(api, token, device.id, code_at(device.secret, clock())) == failure("NotFound")
    assert len(await devices_of(api, token)) == 1
    assert (await purge(services.database, services.settings, clock()))["totp_devices"] == 1


async def test_the_confirming_code_is_accepted_once(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    device = await confirmed(api, member.access_token)
    code = code_at(device.secret, clock())
    again = await confirm(api, member.access_token, device.id, code)
    assert again == failure("OtpAlreadyUsed", retryAfter=20, attemptsLeft=4)
    at_sign_in = await api.verify_otp(await api.challenge(), code)
    assert at_sign_in["__typename"] == "OtpAlreadyUsed"
    assert (await events_of(services))["OTP_REPLAYED"] == 1
    assert await failures_counted(services) == 0


async def test_a_second_confirmation_succeeds_without_a_second_event(
    api: Api, clock: Clock, services: Services
) -> None:
    member = await api.member()
    device = await confirmed(api, member.access_token)
    clock.advance(30)
    again = await confirm(api, member.access_token, device.id, code_at(device.secret, clock()))
    assert again["__typename"] == "TotpDeviceConfirmed"
    assert again["device"]["lastUsedAt"] == clock().isoformat()
    assert (await events_of(services))["TOTP_DEVICE_ADDED"] == 1


async def test_the_code_of_another_device_is_wrong_and_counted(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    one, other = await added(api, member.access_token), await added(api, member.access_token)
    for number, secret in enumerate((member.secret, other.secret)):
        answer = await confirm(api, member.access_token, one.id, code_at(secret, clock()))
        assert (answer["__typename"], answer["attemptsLeft"]) == ("InvalidOtp", 4 - number)
    assert await failures_counted(services) == 2
    assert [device["confirmed"] for device in await devices_of(api, member.access_token)] == [True, False, False]
    # Nor was it used up where it is right.
    assert (await api.verify_otp(await api.challenge(), code_at(member.secret, clock())))["__typename"] == "SignedIn"


async def test_a_slow_clock_is_reported(api: Api, clock: Clock) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    answer = await confirm(api, member.access_token, device.id, code_at(device.secret, clock(), -3))
    assert (answer["__typename"], answer["clockBehindSeconds"]) == ("InvalidOtp", 90)


async def test_the_wait_for_codes_applies_and_a_right_code_resets_it(
    api: Api, clock: Clock, services: Services
) -> None:
    member = await api.member()
    device = await added(api, member.access_token)
    for _ in range(5):
        await api.verify_otp(await api.challenge(), wrong_code(member.secret, clock()))
    waiting = await confirm(api, member.access_token, device.id, code_at(device.secret, clock()))
    assert waiting == failure("RateLimited", retryAfter=60)
    clock.advance(60)
    right = await confirm(api, member.access_token, device.id, code_at(device.secret, clock()))
    assert right["__typename"] == "TotpDeviceConfirmed"
    wrong = await confirm(api, member.access_token, device.id, wrong_code(device.secret, clock()))
    assert wrong["attemptsLeft"] == 4
    assert await failures_counted(services) == 6


async def test_malformed_codes_are_wrong(api: Api, subtests: pytest.Subtests) -> None:
    member = await api.member()
    device = await added(api, member.access_token)

    for code in ["", "12345", "1234567", "\uff11" * 6, NO_RECOVERY_CODE]:
        with subtests.test(code=code):
            assert (await confirm(api, member.access_token, device.id, code))["__typename"] == "InvalidOtp"


async def test_the_first_device_of_an_account_is_confirmed_by_signing_in_alone(api: Api, clock: Clock) -> None:
    member = await api.member()
    first = await first_device(api, member.access_token)
    answer = await confirm(api, member.access_token, first, code_at(member.secret, clock()))
    assert answer == failure("NotFound")
