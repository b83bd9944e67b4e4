"""Add another authenticator app."""

from datetime import timedelta

from graphql_mfa.core.problems import Problem
from graphql_mfa.core.totp_devices import parse_device_name
from graphql_mfa.flows.enrollment import add_device, new_device
from graphql_mfa.flows.signed_in import Caller, act_freshly
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, totp_devices
from graphql_mfa.types.errors import InvalidInput
from graphql_mfa.types.totp import AddTotpDeviceResult, TooManyDevices, TotpDevice, TotpDeviceAdded


async def add_totp_device(services: Services, access_token: str | None, name: str) -> AddTotpDeviceResult:
    """Add it with a fresh secret. It counts once it was confirmed in this session, and is gone unless that is soon."""
    settings = services.settings

    def add(connection: Connection, caller: Caller) -> TotpDeviceAdded | InvalidInput | TooManyDevices:
        shown_name = parse_device_name(name)
        if isinstance(shown_name, Problem):
            return InvalidInput.of([shown_name])
        account = caller.user.account
        if totp_devices.count(connection, account.id, caller.now) >= settings.totp_devices_per_user:
            return TooManyDevices()
        device = new_device(shown_name, caller.now)
        enrollment = add_device(
            connection,
            services,
            account.id,
            account.username,
            device,
            session_id=caller.session.id,
            expires_at=caller.now + timedelta(seconds=settings.totp_device_confirmation_seconds),
        )
        return TotpDeviceAdded(device=TotpDevice.of(device), enrollment=enrollment, user=caller.shown)

    return await act_freshly(services, access_token, add)
