"""Answer a challenge with a one-time code."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from graphql_mfa.core import totp
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.key_ring import KeyRing
from graphql_mfa.core.recovery_codes import new_recovery_code, parse_recovery_code
from graphql_mfa.core.sealing import sealed_by
from graphql_mfa.core.secret_tokens import Purpose, digest, token_digest
from graphql_mfa.core.totp import Accepted, AlreadyUsed, ClockBehind, CodeVerdict, Wrong
from graphql_mfa.flows import limits
from graphql_mfa.flows.enrollment import seal_secret, secret_of
from graphql_mfa.flows.outcomes import (
    ChallengeExpired,
    EnrollmentConfirmed,
    FactorDisabled,
    InvalidOtp,
    OtpAlreadyUsed,
    RateLimited,
    SignedIn,
)
from graphql_mfa.flows.services import Client, Services
from graphql_mfa.flows.sessions import open_session
from graphql_mfa.store import Connection, challenges, recovery_codes, totp_devices, users
from graphql_mfa.store.totp_devices import StoredDevice
from graphql_mfa.store.users import LockedUser

VerifyOtpOutcome = (
    SignedIn | EnrollmentConfirmed | InvalidOtp | OtpAlreadyUsed | ChallengeExpired | FactorDisabled | RateLimited
)


async def verify_otp(services: Services, challenge_token: str, otp: str, client: Client) -> VerifyOtpOutcome:
    """Count the answer, compare it, use up challenge and time step, open a session: one transaction.

    The account's row is held from its first statement on, so every answer for the account is judged after the one
    before it was counted.
    """
    settings = services.settings
    now = services.clock()
    token = token_digest(Purpose.CHALLENGE, challenge_token)
    if token is None:
        return ChallengeExpired()

    def answer(connection: Connection) -> VerifyOtpOutcome:
        user = users.lock_by_challenge(connection, token, now, settings.challenge_attempts)
        if user is None:
            return ChallengeExpired()
        if user.otp_disabled:
            return FactorDisabled()
        if wait := user.otp_wait(now):
            return RateLimited.until(wait)
        attempts_left = challenges.count_attempt(connection, token, settings.challenge_attempts)
        match _judge(connection, services, user, otp, now):
            case Accepted():
                challenges.consume(connection, token)
                return _sign_in(connection, services, user, client, now)
            case AlreadyUsed(step):
                retry_after = totp.seconds_until_step(step + 1, now, settings.otp_period_seconds)
                return OtpAlreadyUsed(retry_after, attempts_left)
            case ClockBehind(seconds):
                _count_failure(connection, services, user, now)
                return InvalidOtp(attempts_left, clock_behind_seconds=seconds)
            case Wrong():
                _count_failure(connection, services, user, now)
                return InvalidOtp(attempts_left)

    return await services.database.write(answer)


def _judge(connection: Connection, services: Services, user: LockedUser, otp: str, now: datetime) -> CodeVerdict:
    """Compare the code with each device of the account; a right one claims its time step.

    By the same statement a secret that another key of the ring sealed moves to the current one.
    """
    verdict: CodeVerdict = Wrong()
    for device in totp_devices.of_user(connection, user.id, confirmed=user.account.mfa_enabled):
        secret = secret_of(services.key_ring, device)
        verdict = totp.judge_code(secret, otp, now, last_step=device.last_step, parameters=services.settings.totp)
        if isinstance(verdict, Accepted):
            sealed_again = _sealed_again(services.key_ring, device, secret)
            if not totp_devices.claim_step(connection, device.id, verdict.step, now, sealed_again):
                verdict = AlreadyUsed(verdict.step)
        if not isinstance(verdict, Wrong):
            break
    return verdict


def _sealed_again(ring: KeyRing, device: StoredDevice, secret: str) -> bytes | None:
    return None if sealed_by(device.sealed_secret) == ring.current.id else seal_secret(ring, device.id, secret)


def _sign_in(
    connection: Connection, services: Services, user: LockedUser, client: Client, now: datetime
) -> SignedIn | EnrollmentConfirmed:
    if user.otp_failures:
        users.set_otp_state(connection, user.id)
    confirmed = None if user.account.mfa_enabled else _confirm_enrollment(connection, services, user.id, now)
    tokens = open_session(connection, services, user.id, FactorKind.TOTP, client, now)
    if confirmed is None:
        return SignedIn(tokens, user.account)
    return EnrollmentConfirmed(tokens, users.find(connection, user.id), confirmed)


def _confirm_enrollment(connection: Connection, services: Services, user_id: UUID, now: datetime) -> list[str]:
    """Switch the second factor on; return the recovery codes, which are shown this once."""
    users.enable_mfa(connection, user_id, now)
    codes = [new_recovery_code() for _ in range(services.settings.recovery_code_count)]
    canonical = [parse_recovery_code(code) or "" for code in codes]
    recovery_codes.add(connection, user_id, [digest(Purpose.RECOVERY_CODE, code) for code in canonical])
    return codes


def _count_failure(connection: Connection, services: Services, user: LockedUser, now: datetime) -> None:
    """Count a wrong code for the account, unless its owner has just registered: then only the challenge counts.

    An enrollment that an operator began has no last day, so its guesser would have all the time there is.
    """
    if not user.account.mfa_enabled and not user.needs_enrollment_code:
        return
    settings = services.settings
    since = now - timedelta(days=settings.otp_failure_window_days)
    in_window = users.add_otp_failure(connection, user.id, uuid4(), now, since)
    in_a_row = user.otp_failures + 1
    doublings = in_a_row - settings.otp_failures_before_backoff
    users.set_otp_state(
        connection,
        user.id,
        failures=in_a_row,
        blocked_until=now + limits.otp_backoff(settings).wait(doublings) if doublings >= 0 else None,
        disabled_at=now if in_window >= settings.otp_failures_before_disabling else None,
    )
