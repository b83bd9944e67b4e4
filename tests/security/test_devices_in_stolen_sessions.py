"""Attack: add an authenticator app to an account with a stolen session."""

from graphql_mfa.services import Services
from tests.account import act
from tests.api.answers import failure
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.devices import add, added, confirm, devices_of, names_of, remove
from tests.security.attacks import scalar


async def test_device_added_with_a_stolen_stale_session(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    clock.advance(300)
    stolen = (await api.refresh(member.refresh_token))["tokens"]["accessToken"]
    for token in (member.access_token, stolen):
        assert (await add(api, token, "thief"))["__typename"] == "ReauthenticationRequired"
    assert await scalar(services, "SELECT count(*) FROM mfa_totp_devices") == 1


async def test_last_device_removed_with_a_stolen_stale_session(api: Api, clock: Clock) -> None:
    member = await api.member()
    device = (await devices_of(api, member.access_token))[0]["id"]
    await added(api, member.access_token)
    clock.advance(300)
    assert (await remove(api, member.access_token, device))["__typename"] == "ReauthenticationRequired"
    assert len(await devices_of(api, member.access_token)) == 2


async def test_device_confirmed_after_its_session_was_ended(api: Api, clock: Clock) -> None:
    """After the owner signs out everywhere, the thief can't confirm the added device."""
    member = await api.member()
    device = await added(api, member.access_token, "thief")
    await api.logout(member.access_token, everywhere=True)
    code = code_at(device.secret, clock())
    ended = failure("NotAuthenticated", reason="SESSION_ENDED")
    assert await confirm(api, member.access_token, device.id, code) == ended

    own = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    token = own["tokens"]["accessToken"]
    assert await confirm(api, token, device.id, code) == failure("NotFound")
    assert (await api.verify_otp(await api.challenge(), code))["__typename"] == "InvalidOtp"
    clock.advance(600)
    token = (await api.refresh(own["tokens"]["refreshToken"]))["tokens"]["accessToken"]
    assert await names_of(api, token) == ["Authenticator app"]


async def test_device_confirmed_after_its_session_became_stale(api: Api, clock: Clock, services: Services) -> None:
    """The owner makes new recovery codes in another session, since the thief may have used an old one."""
    member = await api.member()
    stolen = (await api.verify_recovery_code(await api.challenge(), member.recovery_codes[0]))["tokens"]["accessToken"]
    device = await added(api, stolen, "thief")
    renewed = await act(api, "regenerateRecoveryCodes", member.access_token)
    assert renewed["__typename"] == "RecoveryCodes"
    assert await confirm(api, stolen, device.id, code_at(device.secret, clock())) == failure("NotFound")
    confirmed = "SELECT count(*) FROM mfa_totp_devices WHERE confirmed_at IS NOT NULL"
    assert await scalar(services, confirmed) == 1
