"""Giving an account a TOTP secret, as registration and a restarted enrollment do."""

from datetime import datetime
from uuid import UUID, uuid4

from graphql_mfa.core import totp
from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.core.recovery_codes import parse_recovery_code
from graphql_mfa.core.sealing import seal, unseal
from graphql_mfa.core.secret_tokens import Purpose, digest
from graphql_mfa.flows.outcomes import Enrollment
from graphql_mfa.flows.services import Services
from graphql_mfa.store import Connection, totp_devices
from graphql_mfa.store.totp_devices import StoredDevice


def enroll_device(
    connection: Connection, services: Services, user_id: UUID, username: str, now: datetime
) -> Enrollment:
    """Add an unconfirmed device with a fresh secret.

    A device always has a new id: a code that races with its replacement finds the old one gone.
    """
    secret = totp.new_secret()
    device_id = uuid4()
    sealed = seal_secret(services.key_ring, device_id, secret)
    key_id = services.key_ring.current.id
    totp_devices.add(connection, id=device_id, user_id=user_id, sealed_secret=sealed, key_id=key_id, now=now)
    uri = totp.provisioning_uri(
        secret, account=username, issuer=services.settings.issuer, parameters=services.settings.totp
    )
    return Enrollment(secret, uri)


def enrollment_code_digest(code: str) -> bytes:
    """What is stored of an operator's code, however its owner types it; of no code at all, of nothing."""
    return digest(Purpose.ENROLLMENT_CODE, parse_recovery_code(code) or "")


def seal_secret(ring: KeyRing, device_id: UUID, secret: str) -> bytes:
    """The secret as it is stored for that device."""
    return seal(ring, _row(device_id), secret.encode())


def secret_of(ring: KeyRing, device: StoredDevice) -> str:
    """The device's secret in clear.

    Raises SealBrokenError.
    """
    return unseal(ring, _row(device.id), device.sealed_secret).decode()


def _row(device_id: UUID) -> str:
    return f"totp_devices.sealed_secret:{device_id}"
