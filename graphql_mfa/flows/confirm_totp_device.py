"""Confirm an authenticator app that was added, with its first code."""

from dataclasses import replace

from graphql_mfa.client import Client
from graphql_mfa.core.ids import id_to_look_for
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.second_factor import Verified, answer_with_otp, attempts_before_a_wait, otp_refusal
from graphql_mfa.flows.signed_in import Caller, act_counted
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, totp_devices
from graphql_mfa.types.errors import NotFound
from graphql_mfa.types.totp import ConfirmTotpDeviceResult, TotpDevice, TotpDeviceConfirmed


async def confirm_totp_device(
    services: Services, access_token: str | None, id: str, otp: str, client: Client
) -> ConfirmTotpDeviceResult:
    """Compare the code with that device alone, in the session that added it; count it as at sign-in."""
    device_id = id_to_look_for(id)

    def confirm(connection: Connection, caller: Caller) -> ConfirmTotpDeviceResult:
        user, now = caller.user, caller.now
        held = totp_devices.hold(connection, device_id, user.id, now)
        if held is None or held.session_id != caller.session.id:
            return NotFound()
        if refusal := otp_refusal(user, now):
            return refusal
        attempts_left = attempts_before_a_wait(services.settings, user)
        repeated = user.otp_failures > 0
        answer = answer_with_otp(
            connection, services, user, [held.stored], otp, client, now, attempts_left, repeated=repeated
        )
        if not isinstance(answer, Verified):
            return answer
        if not held.shown.confirmed:
            services.events.record(connection, user.id, now, client, SecurityEventKind.TOTP_DEVICE_ADDED)
        device = replace(held.shown, confirmed=True, last_used_at=now)
        return TotpDeviceConfirmed(device=TotpDevice.of(device), user=caller.shown)

    return await act_counted(services, access_token, confirm)
