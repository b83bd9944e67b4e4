"""What each operation costs the store is what docs/operations.md says."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.account import act, mutations
from tests.api.scenarios import change_password, reset_with_both_codes
from tests.api_client import Api, Member, Result
from tests.authenticator import code_at
from tests.conftest import on_each_engine
from tests.devices import added, confirmed
from tests.statements import statements

pytestmark = on_each_engine

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
DOCUMENTED = {
    name: int(statements)
    for name, statements in re.findall(r"^\| `(\w+)` \| (\d+) \|", OPERATIONS.read_text(), re.MULTILINE)
}


async def act_alone(api: Api, mutation: str, member: Member, **arguments: Any) -> Result:
    """Run it, and ask for nothing that it does not say by itself."""
    ((name, argument),) = mutations()[mutation].args.items()
    document = f"mutation M(${name}: {argument.type}) {{ {mutation}({name}: ${name}) {{ __typename }} }}"
    return await api.run(document, arguments, token=member.access_token)


async def _register(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.register("bob")


async def _login(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return api.login


async def _verify_otp(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    challenge = await api.challenge()
    return lambda: api.verify_otp(challenge, code_at(member.secret, api.clock(), 1))


async def _verify_recovery_code(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    challenge = await api.challenge()
    return lambda: api.verify_recovery_code(challenge, member.recovery_codes[0])


async def _restart_enrollment(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    registered = await api.register("bob")
    return lambda: api.restart_enrollment(registered["challenge"])


async def _refresh_session(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.refresh(member.refresh_token)


async def _logout(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.logout(member.access_token)


async def _me(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.me(member.access_token)


async def _reauthenticate(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    otp = code_at(member.secret, api.clock())
    return lambda: act_alone(api, "reauthenticate", member, input={"otp": otp})


async def _regenerate_recovery_codes(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.run("mutation { regenerateRecoveryCodes { __typename } }", token=member.access_token)


async def _add_totp_device(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: act_alone(api, "addTotpDevice", member, input={"name": "Tablet"})


async def _confirm_totp_device(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    device = await added(api, member.access_token)
    given = {"id": device.id, "otp": code_at(device.secret, api.clock())}
    return lambda: act_alone(api, "confirmTotpDevice", member, input=given)


async def _rename_totp_device(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    device = await added(api, member.access_token)
    return lambda: act_alone(api, "renameTotpDevice", member, input={"id": device.id, "name": "Old tablet"})


async def _remove_totp_device(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    device = await confirmed(api, member.access_token)
    return lambda: act_alone(api, "removeTotpDevice", member, id=device.id)


async def _totp_devices(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: api.run("{ me { totpDevices { id } } }", token=member.access_token)


async def _change_password(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: change_password(api, member.access_token)


async def _reset_password(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: reset_with_both_codes(api, member)


async def _revoke_session(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    await api.verify_otp(await api.challenge(), code_at(member.secret, api.clock()))
    me = await api.run("{ me { sessions { id } } }", token=member.access_token)
    query = "mutation Revoke($id: ID!) { revokeSession(id: $id) { __typename } }"
    return lambda: api.run(query, {"id": me["sessions"][0]["id"]}, token=member.access_token)


async def _delete_account(api: Api, member: Member) -> Callable[[], Awaitable[Any]]:
    return lambda: act(api, "deleteAccount", member.access_token)


PREPARED = {
    "registerUser": (_register, "RegisterUserSuccess"),
    "login": (_login, "OtpRequired"),
    "verifyOtp": (_verify_otp, "SignedIn"),
    "verifyRecoveryCode": (_verify_recovery_code, "SignedIn"),
    "restartEnrollment": (_restart_enrollment, "EnrollmentRestarted"),
    "refreshSession": (_refresh_session, "SignedIn"),
    "logout": (_logout, "LogoutSuccess"),
    "reauthenticate": (_reauthenticate, "Reauthenticated"),
    "regenerateRecoveryCodes": (_regenerate_recovery_codes, "RecoveryCodes"),
    "changePassword": (_change_password, "PasswordChanged"),
    "resetPassword": (_reset_password, "PasswordChanged"),
    "revokeSession": (_revoke_session, "SessionRevoked"),
    "deleteAccount": (_delete_account, "AccountDeleted"),
    "me": (_me, None),
    "addTotpDevice": (_add_totp_device, "TotpDeviceAdded"),
    "confirmTotpDevice": (_confirm_totp_device, "TotpDeviceConfirmed"),
    "renameTotpDevice": (_rename_totp_device, "TotpDeviceRenamed"),
    "removeTotpDevice": (_remove_totp_device, "FactorRemoved"),
    "totpDevices": (_totp_devices, None),
}


@pytest.mark.parametrize("operation", PREPARED)
async def test_an_operation_costs_what_is_documented(api: Api, operation: str) -> None:
    prepare, outcome = PREPARED[operation]
    run = await prepare(api, await api.member())
    with statements() as seen:
        answer = await run()
    assert answer.get("__typename") == outcome
    assert len(seen) == DOCUMENTED[operation], seen


def test_the_cost_of_every_operation_is_documented() -> None:
    assert DOCUMENTED.keys() == PREPARED.keys()
