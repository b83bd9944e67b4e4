"""Giving an account a TOTP secret, as registration, a restarted enrollment and another device do."""

from datetime import datetime
from uuid import UUID, uuid4

from graphql_mfa.core import totp
from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.core.recovery_codes import parse_recovery_code
from graphql_mfa.core.sealing import seal, unseal
from graphql_mfa.core.secret_tokens import Purpose, digest
from graphql_mfa.core.totp_devices import DEFAULT_DEVICE_NAME, Device
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, totp_devices
from graphql_mfa.store.totp_devices import StoredDevice
from graphql_mfa.types.totp import TotpEnrollment


def enroll_device(
    connection: Connection, services: Services, user_id: UUID, username: str, now: datetime
) -> TotpEnrollment:
    """Add the first device of an account, unconfirmed, with a fresh secret."""
    return add_device(connection, services, user_id, username, new_device(DEFAULT_DEVICE_NAME, now))


def new_device(name: str, now: datetime) -> Device:
    """A device that is to be added. It always has a new id: a code that races with its replacement finds it gone."""
    return Device(uuid4(), name, confirmed=False, created_at=now)


def add_device(
    connection: Connection,
    services: Services,
    user_id: UUID,
    username: str,
    device: Device,
    *,
    session_id: UUID | None = None,
    expires_at: datetime | None = None,
) -> TotpEnrollment:
    """Add an unconfirmed device with a fresh secret; session_id: where alone it can be confirmed."""
    secret = totp.new_secret()
    totp_devices.add(
        connection,
        id=device.id,
        user_id=user_id,
        sealed_secret=seal_secret(services.key_ring, device.id, secret),
        key_id=services.key_ring.current.id,
        now=device.created_at,
        name=device.name,
        session_id=session_id,
        expires_at=expires_at,
    )
    uri = totp.provisioning_uri(
        secret, account=username, issuer=services.settings.issuer, parameters=services.settings.totp
    )
    return TotpEnrollment(secret=secret, otpauth_uri=uri)


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


def decoy_device(ring: KeyRing) -> StoredDevice:
    """A device of nobody, to be judged so that the time of an answer does not tell whether there was a real one."""
    device_id = uuid4()
    return StoredDevice(device_id, seal_secret(ring, device_id, totp.new_secret()), None)


def _row(device_id: UUID) -> str:
    return f"totp_devices.sealed_secret:{device_id}"
