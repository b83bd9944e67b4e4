"""Authenticator apps: their devices, their secrets, and verifying their codes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from graphql_mfa.client import Client
from graphql_mfa.core.ids import id_to_look_for
from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.core.problems import Problem
from graphql_mfa.core.recovery_codes import parse_recovery_code
from graphql_mfa.core.sealing import seal, sealed_by, unseal
from graphql_mfa.core.secret_tokens import Purpose, digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.totp import (
    Accepted,
    AlreadyUsed,
    ClockBehind,
    CodeVerdict,
    Wrong,
    judge_code,
    new_secret,
    provisioning_uri,
    seconds_until_step,
)
from graphql_mfa.core.totp_devices import DEFAULT_DEVICE_NAME, Device, parse_device_name
from graphql_mfa.flows import limits
from graphql_mfa.flows.signed_in import Caller, act, act_counted, act_freshly
from graphql_mfa.services import Services
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, sessions, totp
from graphql_mfa.store.accounts import LockedUser
from graphql_mfa.store.totp import StoredDevice
from graphql_mfa.types.errors import InvalidInput, NotFound, shown_id
from graphql_mfa.types.throttling import RateLimited
from graphql_mfa.types.totp import (
    AddTotpDeviceResult,
    ConfirmTotpDeviceResult,
    FactorDisabled,
    FactorRemoved,
    InvalidOtp,
    LastFactor,
    OtpAlreadyUsed,
    RemoveFactorResult,
    RenameTotpDeviceResult,
    TooManyDevices,
    TotpDevice,
    TotpDeviceAdded,
    TotpDeviceConfirmed,
    TotpDeviceRenamed,
    TotpEnrollment,
)


async def add_totp_device(services: Services, access_token: str | None, name: str) -> AddTotpDeviceResult:
    """Add it with a fresh secret. It counts once it was confirmed in this session, and is gone unless that is soon."""
    settings = services.settings

    def add(connection: Connection, caller: Caller) -> TotpDeviceAdded | InvalidInput | TooManyDevices:
        shown_name = parse_device_name(name)
        if isinstance(shown_name, Problem):
            return InvalidInput.of([shown_name])
        account = caller.user.account
        if totp.count(connection, account.id, caller.now) >= settings.totp_devices_per_user:
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


async def confirm_totp_device(
    services: Services, access_token: str | None, id: str, otp: str, client: Client
) -> ConfirmTotpDeviceResult:
    """Compare the code with that device alone, in the session that added it; count it as at sign-in."""
    device_id = id_to_look_for(id)

    def confirm(connection: Connection, caller: Caller) -> ConfirmTotpDeviceResult:
        user, now = caller.user, caller.now
        held = totp.hold(connection, device_id, user.id, now)
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


async def rename_totp_device(
    services: Services, access_token: str | None, id: str, name: str
) -> RenameTotpDeviceResult:
    """Change the name, confirmed or not. Names need not differ: they are for the owner alone."""
    device_id = id_to_look_for(id)

    def rename(connection: Connection, caller: Caller) -> TotpDeviceRenamed | InvalidInput | NotFound:
        shown_name = parse_device_name(name)
        if isinstance(shown_name, Problem):
            return InvalidInput.of([shown_name])
        device = totp.rename(connection, device_id, caller.user.id, shown_name, caller.now)
        return TotpDeviceRenamed(device=TotpDevice.of(device)) if device else NotFound()

    return await act(services, access_token, rename)


async def remove_totp_device(
    services: Services, access_token: str | None, id: str, client: Client
) -> RemoveFactorResult:
    """Remove it, unless it is the last one that was confirmed. One that never was never counted, and makes no event.

    The other sessions that it opened or verified last may be a thief's: they end. This one has to verify another factor
    before sensitive operations.
    """
    device_id = id_to_look_for(id)

    def remove(connection: Connection, caller: Caller) -> FactorRemoved | LastFactor | NotFound:
        user = caller.user
        held = totp.hold(connection, device_id, user.id, caller.now)
        if held is None:
            return NotFound()
        if held.shown.confirmed:
            if totp.count_confirmed(connection, user.id) == 1:
                return LastFactor()
            services.events.record(connection, user.id, caller.now, client, SecurityEventKind.TOTP_DEVICE_REMOVED)
        totp.remove(connection, device_id)
        session_id = caller.session.id
        ended = sessions.end_others_of_device(connection, device_id, session_id, user.id, caller.now)
        if caller.session.verified_by == device_id:
            sessions.make_stale(connection, session_id, caller.now)
        return FactorRemoved(id=shown_id(device_id), user=caller.shown, sessions_ended=ended)

    return await act_freshly(services, access_token, remove)


def otp_refusal(user: LockedUser, now: datetime) -> FactorDisabled | RateLimited | None:
    """Why no one-time code is looked at now, if none is. Nothing is counted then."""
    if user.otp_disabled:
        return FactorDisabled()
    wait = user.otp_wait(now)
    return RateLimited.until(wait) if wait else None


def attempts_before_a_wait(settings: Settings, user: LockedUser) -> int:
    """Wrong codes that the account can still take after one more, where no challenge has an end of its own."""
    return max(0, settings.otp_failures_before_backoff - user.otp_failures - 1)


@dataclass(frozen=True)
class Verified:
    """A right one-time code, and the device that it is of."""

    device_id: UUID | None


def answer_with_otp(
    connection: Connection,
    services: Services,
    user: LockedUser,
    devices: Sequence[StoredDevice],
    otp: str,
    client: Client,
    now: datetime,
    attempts_left: int,
    *,
    repeated: bool = False,
) -> Verified | InvalidOtp | OtpAlreadyUsed:
    """Compare a code with the devices; a right one claims its time step and ends the row of wrong ones.

    A wrong one is counted for the account, whatever the device: more devices are no more guesses. The transaction holds
    the account's row. For the answer to a wrong one: attempts_left; repeated: whether one before it was wrong.
    """
    verdict, device = judge(connection, services, devices, otp, now)
    match verdict:
        case Accepted():
            if user.otp_failures:
                totp.set_otp_state(connection, user.id)
            return Verified(device.id if device else None)
        case AlreadyUsed(step):
            # Once for each code that was accepted, however often it is sent again.
            accepted_at = device.last_used_at if device else None
            kind = SecurityEventKind.OTP_REPLAYED
            services.events.record(connection, user.id, now, client, kind, once_since=accepted_at)
            retry_after = seconds_until_step(step + 1, now, services.settings.otp_period_seconds)
            return OtpAlreadyUsed(retry_after=retry_after, attempts_left=attempts_left)
        case ClockBehind(seconds):
            _count_failure(connection, services, user, client, now)
            return InvalidOtp.of(attempts_left, seconds, repeated=repeated)
        case Wrong():
            _count_failure(connection, services, user, client, now)
            return InvalidOtp.of(attempts_left, repeated=repeated)


def judge(
    connection: Connection, services: Services, devices: Sequence[StoredDevice], otp: str, now: datetime
) -> tuple[CodeVerdict, StoredDevice | None]:
    """Compare the code with each device; a right one claims its time step, and what tells most is the verdict.

    Returns the device that it is about as well. By the same statement a secret that another key of the ring sealed
    moves to the current one.
    """
    verdict: CodeVerdict = Wrong()
    of_device = None
    for device in devices:
        secret = secret_of(services.key_ring, device)
        found = judge_code(secret, otp, now, last_step=device.last_step, parameters=services.settings.totp)
        if isinstance(found, Accepted):
            sealed_again = _sealed_again(services.key_ring, device, secret)
            if totp.claim_step(connection, device.id, found.step, now, sealed_again):
                return found, device
            found = AlreadyUsed(found.step)
        if isinstance(verdict, Wrong):
            verdict, of_device = found, device
    return verdict, of_device


def _sealed_again(ring: KeyRing, device: StoredDevice, secret: str) -> bytes | None:
    return None if sealed_by(device.sealed_secret) == ring.current.id else seal_secret(ring, device.id, secret)


def _count_failure(connection: Connection, services: Services, user: LockedUser, client: Client, now: datetime) -> None:
    """Count a wrong code for the account, unless its owner has just registered: then only the challenge counts.

    An enrollment that an operator began has no last day, so its guesser would have all the time there is.
    """
    events = [SecurityEventKind.SIGN_IN_FAILED]
    if user.account.mfa_enabled or user.needs_enrollment_code:
        settings = services.settings
        since = now - timedelta(days=settings.otp_failure_window_days)
        in_window = totp.add_otp_failure(connection, user.id, uuid4(), now, since)
        in_a_row = user.otp_failures + 1
        doublings = in_a_row - settings.otp_failures_before_backoff
        disabled = in_window >= settings.otp_failures_before_disabling
        totp.set_otp_state(
            connection,
            user.id,
            failures=in_a_row,
            blocked_until=now + limits.otp_backoff(settings).wait(doublings) if doublings >= 0 else None,
            disabled_at=now if disabled else None,
        )
        events += [SecurityEventKind.FACTOR_DISABLED] * disabled
    services.events.record(connection, user.id, now, client, *events)


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
    secret = new_secret()
    totp.add(
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
    uri = provisioning_uri(secret, account=username, issuer=services.settings.issuer, parameters=services.settings.totp)
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
    return StoredDevice(device_id, seal_secret(ring, device_id, new_secret()), None)


def _row(device_id: UUID) -> str:
    return f"totp_devices.sealed_secret:{device_id}"
