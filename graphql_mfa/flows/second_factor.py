"""Judging one-time codes, wherever they are asked for: what is counted, told and remembered is the same everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from graphql_mfa.client import Client
from graphql_mfa.core import totp
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.core.sealing import sealed_by
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.totp import Accepted, AlreadyUsed, ClockBehind, CodeVerdict, Wrong
from graphql_mfa.flows import limits
from graphql_mfa.flows.enrollment import seal_secret, secret_of
from graphql_mfa.services import Services
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, totp_devices, users
from graphql_mfa.store.totp_devices import StoredDevice
from graphql_mfa.store.users import LockedUser
from graphql_mfa.types.throttling import RateLimited
from graphql_mfa.types.totp import FactorDisabled, InvalidOtp, OtpAlreadyUsed


def usable_factors(user: LockedUser, now: datetime, *, has_device: bool = True) -> list[FactorKind]:
    """What the account can answer with now."""
    factors = [FactorKind.TOTP] if has_device and not user.otp_wait(now) and not user.otp_disabled else []
    return factors + [FactorKind.RECOVERY_CODE] * bool(user.account.recovery_codes_left)


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
                users.set_otp_state(connection, user.id)
            return Verified(device.id if device else None)
        case AlreadyUsed(step):
            # Once for each code that was accepted, however often it is sent again.
            accepted_at = device.last_used_at if device else None
            kind = SecurityEventKind.OTP_REPLAYED
            services.events.record(connection, user.id, now, client, kind, once_since=accepted_at)
            retry_after = totp.seconds_until_step(step + 1, now, services.settings.otp_period_seconds)
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
        found = totp.judge_code(secret, otp, now, last_step=device.last_step, parameters=services.settings.totp)
        if isinstance(found, Accepted):
            sealed_again = _sealed_again(services.key_ring, device, secret)
            if totp_devices.claim_step(connection, device.id, found.step, now, sealed_again):
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
        in_window = users.add_otp_failure(connection, user.id, uuid4(), now, since)
        in_a_row = user.otp_failures + 1
        doublings = in_a_row - settings.otp_failures_before_backoff
        disabled = in_window >= settings.otp_failures_before_disabling
        users.set_otp_state(
            connection,
            user.id,
            failures=in_a_row,
            blocked_until=now + limits.otp_backoff(settings).wait(doublings) if doublings >= 0 else None,
            disabled_at=now if disabled else None,
        )
        events += [SecurityEventKind.FACTOR_DISABLED] * disabled
    services.events.record(connection, user.id, now, client, *events)
