"""Give an authenticator app another name."""

from graphql_mfa.core.ids import id_to_look_for
from graphql_mfa.core.problems import Problem
from graphql_mfa.core.totp_devices import parse_device_name
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
        shown_name = parse_device_name(name)
        if isinstance(shown_name, Problem):
            return InvalidInput.of([shown_name])
        device = totp_devices.rename(connection, device_id, caller.user.id, shown_name, caller.now)
        return TotpDeviceRenamed(device=TotpDevice.of(device)) if device else NotFound()

    return await act(services, access_token, rename)
