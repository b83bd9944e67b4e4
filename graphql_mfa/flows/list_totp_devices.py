"""Show a user their authenticator apps."""

from uuid import UUID

from graphql_mfa.core.totp_devices import Device
from graphql_mfa.services import Services
from graphql_mfa.store import totp_devices


async def list_totp_devices(services: Services, user_id: UUID) -> list[Device]:
    """Those that count and those that are still to be confirmed, oldest first."""
    now = services.clock()
    return await services.database.read(lambda connection: totp_devices.shown(connection, user_id, now))
