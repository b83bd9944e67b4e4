"""Authenticator apps: their devices, their secrets, and verifying their codes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from graphql_mfa.core.accounts import Account, FactorKind, Proof
from graphql_mfa.core.inputs import Problem, parse_factor_name, parse_id_or_nil
from graphql_mfa.core.keys import KeyRing, seal, sealed_by, unseal
from graphql_mfa.core.recovery_codes import parse_recovery_code
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.tokens import Purpose, digest
from graphql_mfa.core.totp import (
    DEFAULT_DEVICE_NAME,
    TOTP_DEVICES_PER_ACCOUNT,
    Accepted,
    AlreadyUsed,
    ClockBehind,
    CodeVerdict,
    Device,
    Malformed,
    Wrong,
    new_secret,
    provisioning_uri,
    seconds_until_step,
    verify_code,
)
from graphql_mfa.flows import limits
from graphql_mfa.flows.second_factors import factor_removed, is_last_factor
from graphql_mfa.flows.signed_in import Caller, run_as_user, run_rate_limited, run_with_recent_mfa
from graphql_mfa.services import Call, Transaction
from graphql_mfa.store import totp
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.sign_in import LockedChallenge
from graphql_mfa.store.totp import StoredDevice
from graphql_mfa.types.errors import InvalidInput, NotFound, RateLimited
from graphql_mfa.types.second_factors import FactorRemoved, LastFactor, RemoveFactorResult
from graphql_mfa.types.totp import (
    AddTotpDeviceResult,
    ConfirmTotpDeviceResult,
    FactorDisabled,
    InvalidOtp,
    OtpAlreadyUsed,
    RenameTotpDeviceResult,
    TooManyDevices,
    TotpDevice,
    TotpDeviceAdded,
    TotpDeviceConfirmed,
    TotpDeviceRenamed,
    TotpEnrollment,
)

_CONFIRMATION_TIME = timedelta(minutes=10)


async def add_totp_device(call: Call, name: str) -> AddTotpDeviceResult:
    """Add a device with a fresh secret. It has to be confirmed in this session, before it expires."""

    def add(transaction: Transaction, caller: Caller) -> TotpDeviceAdded | InvalidInput | TooManyDevices:
        shown_name = parse_factor_name(name)
        if isinstance(shown_name, Problem):
            return InvalidInput.of({"name": shown_name})
        if totp.count(transaction.connection, caller.user.id, transaction.now) >= TOTP_DEVICES_PER_ACCOUNT:
            return TooManyDevices()
        device, enrollment = add_device(transaction, caller.user.account, shown_name, caller.session.id)
        return TotpDeviceAdded(device=TotpDevice.of(device), enrollment=enrollment, user=caller.shown)

    return await run_with_recent_mfa(call, add)


async def confirm_totp_device(call: Call, id: str, otp: str) -> ConfirmTotpDeviceResult:
    """Compare the code with that device alone, in the session that added it; count it as at sign-in."""
    device_id = parse_id_or_nil(id)

    def confirm(transaction: Transaction, caller: Caller) -> ConfirmTotpDeviceResult:
        user, now = caller.user, transaction.now
        locked = totp.lock(transaction.connection, device_id, user.id, now)
        # A session becomes stale when the factor that added the device is removed or replaced.
        if locked is None or locked.session_id != caller.session.id or caller.session.stale_since:
            return NotFound()
        if refusal := otp_refusal(user, now):
            return refusal
        answer = answer_with_otp(transaction, user, [locked.stored], otp)
        if not isinstance(answer, Proof):
            return answer
        if not locked.confirmed:
            transaction.record(user.id, SecurityEventKind.TOTP_DEVICE_ADDED, factor=FactorKind.TOTP)
        device = replace(locked, confirmed=True, last_used_at=now)
        return TotpDeviceConfirmed(device=TotpDevice.of(device), user=caller.shown)

    return await run_rate_limited(call, confirm)


async def rename_totp_device(call: Call, id: str, name: str) -> RenameTotpDeviceResult:
    """Change the name, confirmed or not. Names need not be unique: they are for the owner alone."""
    device_id = parse_id_or_nil(id)

    def rename(transaction: Transaction, caller: Caller) -> TotpDeviceRenamed | InvalidInput | NotFound:
        shown_name = parse_factor_name(name)
        if isinstance(shown_name, Problem):
            return InvalidInput.of({"name": shown_name})
        device = totp.rename(transaction.connection, device_id, caller.user.id, shown_name, transaction.now)
        return TotpDeviceRenamed(device=TotpDevice.of(device), user=caller.shown) if device else NotFound()

    return await run_as_user(call, rename)


async def remove_totp_device(call: Call, id: str) -> RemoveFactorResult:
    """Remove a device, unless it is the last factor. Removing an unconfirmed one records no event."""
    device_id = parse_id_or_nil(id)

    def remove(transaction: Transaction, caller: Caller) -> FactorRemoved | LastFactor | NotFound:
        connection, user = transaction.connection, caller.user
        locked = totp.lock(connection, device_id, user.id, transaction.now)
        if locked is None:
            return NotFound()
        if locked.confirmed:
            if is_last_factor(transaction, user.id, FactorKind.TOTP):
                return LastFactor()
            transaction.record(user.id, SecurityEventKind.TOTP_DEVICE_REMOVED, factor=FactorKind.TOTP)
        totp.remove(connection, device_id)
        return factor_removed(transaction, user, caller.session, device_id)

    return await run_with_recent_mfa(call, remove)


def otp_refusal(user: StoredUser, now: datetime) -> FactorDisabled | RateLimited | None:
    """Why one-time codes are not accepted now. A refused code is not counted."""
    if not user.expects_codes:
        return None
    if user.otp_disabled:
        return FactorDisabled()
    wait = user.otp_wait(now)
    return RateLimited.until(wait) if wait else None


def answer_with_otp(
    transaction: Transaction,
    user: StoredUser,
    devices: Sequence[StoredDevice],
    otp: str,
    challenge: LockedChallenge | None = None,
) -> Proof | InvalidOtp | OtpAlreadyUsed:
    """Compare a code with the devices; a right one claims its time step and ends the row of wrong ones.

    A wrong one is counted for the account, whatever the device: more devices are no more guesses. The account's row is
    locked. challenge: the one that the code answers; None in a session, where the account's waits are the only bound.
    """
    settings = transaction.services.settings
    if challenge:
        attempts_left = challenge.attempts_left
        repeated = attempts_left < limits.CHALLENGE_ATTEMPTS - 1
    else:
        attempts_left = max(0, limits.OTP_FAILURES_BEFORE_BACKOFF - user.otp_failures - 1)
        repeated = user.otp_failures > 0
    verdict, device = match_devices(transaction, devices, otp)
    match verdict:
        case Accepted():
            if user.otp_failures:
                totp.set_otp_state(transaction.connection, user.id)
            return Proof(FactorKind.TOTP, device.id if device else None)
        case AlreadyUsed(step):
            # Once for each code that was accepted, however often it is sent again.
            accepted_at = device.last_used_at if device else None
            transaction.record(user.id, SecurityEventKind.OTP_REPLAYED, once_since=accepted_at, factor=FactorKind.TOTP)
            retry_after = seconds_until_step(step + 1, transaction.now, settings.otp_period_seconds)
            return OtpAlreadyUsed(retry_after=retry_after, attempts_left=attempts_left)
        case ClockBehind() | Malformed() | Wrong():
            _count_failure(transaction, user)
            return InvalidOtp.of(attempts_left, verdict, repeated=repeated, in_session=challenge is None)


def match_devices(
    transaction: Transaction, devices: Sequence[StoredDevice], otp: str
) -> tuple[CodeVerdict, StoredDevice | None]:
    """Compare the code with each device; a right one claims its time step. Otherwise the most specific verdict counts.

    Returns the device of the verdict as well. The statement that claims the step also re-encrypts a secret with the
    current key.
    """
    ring, parameters, now = transaction.services.key_ring, transaction.services.settings.totp, transaction.now
    verdict: CodeVerdict = Wrong()
    of_device = None
    for device in devices:
        secret = secret_of(ring, device)
        found = verify_code(secret, otp, now, last_step=device.last_step, parameters=parameters)
        if isinstance(found, Accepted):
            is_current = sealed_by(device.sealed_secret) == ring.current.id
            re_encrypted = None if is_current else seal_secret(ring, device.id, secret)
            if totp.claim_step(transaction.connection, device.id, found.step, now, re_encrypted):
                return found, device
            found = AlreadyUsed(found.step)
        if isinstance(verdict, Wrong):
            verdict, of_device = found, device
    return verdict, of_device


def _count_failure(transaction: Transaction, user: StoredUser) -> None:
    """Count a wrong code for the account, unless it has no app, or is a new registration: then only the challenge does.

    Operator-started enrollments never expire, so their failures count against the account.
    """
    settings, now = transaction.services.settings, transaction.now
    events = [SecurityEventKind.SIGN_IN_FAILED]
    if user.expects_codes and (user.account.mfa_enabled or user.needs_enrollment_code):
        disabling = settings.otp_failures_before_disabling
        in_window = totp.add_otp_failure(transaction.connection, user.id, uuid4(), now, now - disabling.window)
        in_a_row = user.otp_failures + 1
        doublings = in_a_row - limits.OTP_FAILURES_BEFORE_BACKOFF
        disabled = in_window >= disabling.attempts
        totp.set_otp_state(
            transaction.connection,
            user.id,
            failures=in_a_row,
            blocked_until=now + limits.OTP_BACKOFF.wait(doublings) if doublings >= 0 else None,
            disabled_at=now if disabled else None,
        )
        events += [SecurityEventKind.FACTOR_DISABLED] * disabled
    transaction.record(user.id, *events, factor=FactorKind.TOTP)


def add_device(
    transaction: Transaction, account: Account, name: str = DEFAULT_DEVICE_NAME, session_id: UUID | None = None
) -> tuple[Device, TotpEnrollment]:
    """Add an unconfirmed device with a fresh secret.

    session_id: the only session that can confirm it, within minutes; None for the first device of an account. The id of
    the device is always new, so that a code that races with the device's replacement does not find it.
    """
    secret, settings = new_secret(), transaction.services.settings
    device = Device(uuid4(), name, confirmed=False, created_at=transaction.now)
    sealed_secret = seal_secret(transaction.services.key_ring, device.id, secret)
    expires_at = transaction.now + _CONFIRMATION_TIME if session_id else None
    totp.add(transaction.connection, device, account.id, sealed_secret, session_id=session_id, expires_at=expires_at)
    uri = provisioning_uri(secret, account=account.username, issuer=settings.issuer, parameters=settings.totp)
    return device, TotpEnrollment(secret=secret, otpauth_uri=uri)


def enrollment_code_digest(code: str) -> bytes:
    """The digest of an operator's enrollment code, as typed; a text of another form has the digest of no code."""
    return digest(Purpose.ENROLLMENT_CODE, parse_recovery_code(code) or "")


def seal_secret(ring: KeyRing, device_id: UUID, secret: str) -> bytes:
    """Encrypt a device's secret for its row."""
    return seal(ring, _row(device_id), secret.encode())


def secret_of(ring: KeyRing, device: StoredDevice) -> str:
    """Decrypt a device's secret. Raises SealBrokenError."""
    return unseal(ring, _row(device.id), device.sealed_secret).decode()


def decoy_device(ring: KeyRing) -> StoredDevice:
    """A device of no account. Comparing a code with it takes as long as with a real device."""
    device_id = uuid4()
    return StoredDevice(device_id, seal_secret(ring, device_id, new_secret()), None)


def _row(device_id: UUID) -> str:
    return f"totp_devices.sealed_secret:{device_id}"
