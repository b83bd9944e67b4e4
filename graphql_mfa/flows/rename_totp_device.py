"""Give an authenticator app another name."""

from graphql_mfa.core.ids import id_to_look_for
from graphql_mfa.core.totp_devices import device_name_problem
from graphql_mfa.flows.signed_in import Caller, act
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, totp_devices
from graphql_mfa.types.errors import InvalidInput, NotFound
from graphql_mfa.types.totp import RenameTotpDeviceResult, TotpDevice, TotpDeviceRenamed


async def rename_totp_device(
    services: Services, access_token: str | None, id: str, name: str
) -> RenameTotpDeviceResult:
    """Change the name, confirmed or not. Names need not differ: they are for the owner alone."""
    device_id = id_to_look_for(id)

    def rename(connection: Connection, caller: Caller) -> TotpDeviceRenamed | InvalidInput | NotFound:
        if problem := device_name_problem(name):
            return InvalidInput.of([problem])
        device = totp_devices.rename(connection, device_id, caller.user.id, name, caller.now)
        return TotpDeviceRenamed(device=TotpDevice.of(device)) if device else NotFound()

    return await act(services, access_token, rename)
