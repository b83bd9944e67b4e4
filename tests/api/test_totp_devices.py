"""User.totpDevices, and other operations on accounts with several devices."""

from graphql_mfa.flows import operators
from graphql_mfa.services import Services
from tests.account import act
from tests.api.answers import failure
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.devices import added, confirm, confirmed, devices_of, names_of
from tests.security.attacks import scalar
from tests.statements import statements


async def test_a_new_account_has_one_named_unconfirmed_device(api: Api, clock: Clock) -> None:
    registered = await act(api, "registerUser", input={"username": "alice", "password": "correct horse battery staple"})
    (device,) = registered["user"]["totpDevices"]
    assert device == {
        "__typename": "TotpDevice",
        "id": device["id"],
        "name": "Authenticator app",
        "confirmed": False,
        "createdAt": clock().isoformat(),
        "lastUsedAt": None,
    }
    clock.advance(7)
    code = code_at(registered["enrollment"]["secret"], clock())
    challenge = registered["challenge"]["token"]
    signed_in = await act(api, "verifyOtp", input={"challengeToken": challenge, "otp": code})
    assert signed_in["user"]["totpDevices"] == [device | {"confirmed": True, "lastUsedAt": clock().isoformat()}]


async def test_devices_are_listed_oldest_first_with_their_last_use(api: Api, clock: Clock) -> None:
    member = await api.member()
    for name in ("c", "a", "b"):
        clock.advance(1)
        device = await confirmed(api, member.access_token, name)
    assert await names_of(api, member.access_token) == ["Authenticator app", "c", "a", "b"]
    clock.advance(30)
    before = await devices_of(api, member.access_token)
    await api.verify_otp(await api.challenge(), code_at(device.secret, clock()))
    used = {"lastUsedAt": clock().isoformat()}
    assert await devices_of(api, member.access_token) == [*before[:3], before[3] | used]


async def test_devices_of_other_users_are_not_shown(api: Api) -> None:
    alice, bob = await api.member("alice"), await api.member("bob")
    await added(api, bob.access_token)
    assert await names_of(api, alice.access_token) == ["Authenticator app"]
    assert await names_of(api, bob.access_token) == ["Authenticator app", "Tablet"]


async def test_devices_are_queried_only_when_selected(api: Api) -> None:
    member = await api.member()
    with statements() as seen:
        await api.me(member.access_token)
    assert len(seen) == 1


async def test_a_restarted_enrollment_leaves_one_device(api: Api, clock: Clock, services: Services) -> None:
    registered = await api.register()
    restarted = await api.restart_enrollment(registered["challenge"])
    assert await scalar(services, "SELECT count(*) FROM mfa_totp_devices") == 1
    confirmed = await api.verify_otp(restarted["challenge"], code_at(restarted["enrollment"]["secret"], clock()))
    assert await names_of(api, confirmed["tokens"]["accessToken"]) == ["Authenticator app"]


async def test_an_operators_reset_removes_all_of_them(api: Api, clock: Clock, services: Services) -> None:
    member = await api.member()
    await confirmed(api, member.access_token)
    pending = await added(api, member.access_token)
    code = await operators.reset_mfa(services, "alice")
    assert isinstance(code, str)
    assert await scalar(services, "SELECT count(*) FROM mfa_totp_devices") == 0
    late = await confirm(api, member.access_token, pending.id, code_at(pending.secret, clock()))
    assert late == failure("NotAuthenticated", reason="SESSION_ENDED")
    restarted = await api.restart_enrollment(await api.challenge(), code)
    confirmed_again = await api.verify_otp(restarted["challenge"], code_at(restarted["enrollment"]["secret"], clock()))
    assert await names_of(api, confirmed_again["tokens"]["accessToken"]) == ["Authenticator app"]
