"""Signing in: the password opens a challenge, and a second factor answers it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from graphql_mfa.core import throttling
from graphql_mfa.core.accounts import Account, FactorKind, lookup_key
from graphql_mfa.core.passwords import PasswordVerdict
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Refusal
from graphql_mfa.core.tokens import CHALLENGE_PREFIX, Purpose, digest, new_token, token_digest
from graphql_mfa.flows import limits
from graphql_mfa.flows.recovery_codes import consume_recovery_code, replace_recovery_codes
from graphql_mfa.flows.sessions import access_token_of, asking_for_claims, open_session
from graphql_mfa.flows.signed_in import Caller, run_rate_limited
from graphql_mfa.flows.totp import (
    Verified,
    answer_with_otp,
    enroll_device,
    enrollment_code_digest,
    otp_refusal,
)
from graphql_mfa.services import Client, Services, Transaction
from graphql_mfa.store import accounts, sessions, sign_in, throttles, totp
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.sign_in import LockedChallenge, LoginCandidate
from graphql_mfa.store.throttles import Reserved
from graphql_mfa.types.accounts import User
from graphql_mfa.types.errors import RateLimited
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode
from graphql_mfa.types.sessions import Reauthenticated, seconds_until
from graphql_mfa.types.sign_in import (
    AlreadyEnrolled,
    Challenge,
    ChallengeExpired,
    EnrollmentCodeRequired,
    EnrollmentConfirmed,
    EnrollmentRestarted,
    InvalidCredentials,
    LoginResult,
    OtpRequired,
    ReauthenticateResult,
    RestartEnrollmentResult,
    SignedIn,
    VerifyOtpResult,
    VerifyRecoveryCodeResult,
)

T = TypeVar("T")

_OPEN_CHALLENGES = 10  # of an account; one more ends the oldest


async def login(services: Services, username: str, password: str, client: Client) -> LoginResult:
    """Wait for a turn of the hashing threads, then check the password."""
    async with services.hashing.slot(client.address) as slot:
        if isinstance(slot, timedelta):
            return RateLimited.until(slot)
        return await _check_password(services, username, password, client)


async def _check_password(services: Services, username: str, password: str, client: Client) -> LoginResult:
    """Count the attempt, compare the password, open a challenge.

    An attempt is counted, and committed, before the password is compared; a right one is released. An unknown username
    costs the same statements and the same hash as a known one.
    """
    name_key = lookup_key(username)

    def reserve(transaction: Transaction) -> tuple[LoginCandidate | None, Reserved] | RateLimited:
        connection, now = transaction.connection, transaction.now
        candidate = sign_in.find_for_login(connection, name_key, client.address, now)
        # A name that no account can have is counted as it was typed.
        choices = limits.login(services.settings, name_key or username, client, candidate)
        counted = throttles.reserve_first(connection, choices, now)
        return RateLimited.by(counted) if isinstance(counted, Refusal) else (candidate, counted)

    reserved = await services.write(client, reserve)
    if isinstance(reserved, RateLimited):
        return reserved
    candidate, counted = reserved
    verdict = await services.hashing.run(
        services.hashing.hasher.verify,
        password,
        candidate.password_hash if candidate else None,
    )
    if candidate is None or not verdict.right:
        return InvalidCredentials()

    def succeed(transaction: Transaction) -> OtpRequired | InvalidCredentials:
        user = accounts.lock(transaction.connection, candidate.id, transaction.now)
        if user is None or user.password_hash != candidate.password_hash:
            return InvalidCredentials()
        transaction.release(counted.limits)
        refused = counted.usages[limits.refused_passwords(user.key)].attempts - 1
        return _require_second_factor(transaction, user, verdict, refused)

    return await services.write(client, succeed)


def _require_second_factor(
    transaction: Transaction, user: StoredUser, verdict: PasswordVerdict, refused_passwords: int
) -> OtpRequired:
    connection, now = transaction.connection, transaction.now
    if verdict.new_hash:
        accounts.replace_password_hash(connection, user.id, verdict.new_hash)
    enabled = user.account.mfa_enabled
    has_device = enabled or bool(totp.of_user(connection, user.id, confirmed=False))
    factors = user.usable_factors(now, has_device=has_device)
    challenge = issue_challenge(
        transaction, user.id, factors=factors, otp_wait=user.otp_wait(now), refused_passwords=refused_passwords
    )
    return OtpRequired(challenge=challenge, enrollment_pending=not enabled)


@asking_for_claims
async def verify_otp(services: Services, challenge_token: str, otp: str, client: Client) -> VerifyOtpResult:
    """Compare the code; count a wrong one, or use up challenge and time step and open a session: one transaction.

    The first statement locks the account's row, so a code is compared after every earlier one of the account was
    counted.
    """

    def verify(transaction: Transaction, challenge: LockedChallenge) -> VerifyOtpResult:
        connection, user = transaction.connection, challenge.user
        if refusal := otp_refusal(user, transaction.now):
            return refusal
        devices = totp.of_user(connection, user.id, confirmed=user.account.mfa_enabled)
        answer = answer_with_otp(transaction, user, devices, otp, challenge)
        if not isinstance(answer, Verified):
            sign_in.count_attempt(connection, challenge.digest)
            return answer
        sign_in.consume_challenge(connection, challenge.digest)
        return _sign_in(transaction, challenge, answer)

    return await _run_with_challenge(services, client, challenge_token, verify)


def _sign_in(
    transaction: Transaction, challenge: LockedChallenge, verified: Verified
) -> SignedIn | EnrollmentConfirmed:
    user = challenge.user
    session, tokens = open_session(transaction, challenge, FactorKind.TOTP, verified.device_id)
    refused = _refused_passwords(transaction, challenge)
    if user.account.mfa_enabled:
        transaction.record(user.id, SecurityEventKind.SIGNED_IN, refused_passwords=refused)
        return SignedIn(tokens=tokens, user=User.of(user.account, session.id))
    accounts.enable_mfa(transaction.connection, user.id, transaction.now)
    codes = replace_recovery_codes(transaction, user.id)
    kinds = (SecurityEventKind.ENROLLMENT_CONFIRMED, SecurityEventKind.SIGNED_IN)
    transaction.record(user.id, *kinds, refused_passwords=refused)
    account = replace(user.account, mfa_enabled=True, recovery_codes_left=len(codes))
    return EnrollmentConfirmed(tokens=tokens, user=User.of(account, session.id), recovery_codes=codes)


def _refused_passwords(transaction: Transaction, challenge: LockedChallenge) -> int:
    """How many were refused since the last sign-in: reported by one of the sign-ins that know of them."""
    number = challenge.refused_passwords
    key = limits.refused_passwords(challenge.user.key)
    return number if number and throttles.subtract(transaction.connection, key, number) else 0


@asking_for_claims
async def verify_recovery_code(
    services: Services, challenge_token: str, recovery_code: str, client: Client
) -> VerifyRecoveryCodeResult:
    """Use up code and challenge and open a session, or count the attempt: one transaction.

    The waits for one-time codes don't apply to recovery codes, nor the other way round.
    """

    def verify(transaction: Transaction, challenge: LockedChallenge) -> VerifyRecoveryCodeResult:
        connection, user = transaction.connection, challenge.user
        counted = limits.recovery_code(user.id, client.address)
        if wait := transaction.limit(counted):
            return RateLimited.until(wait)
        if not consume_recovery_code(connection, user.id, recovery_code):
            sign_in.count_attempt(connection, challenge.digest)
            transaction.record(user.id, SecurityEventKind.SIGN_IN_FAILED)
            return InvalidRecoveryCode.of(challenge.attempts_left)
        sign_in.consume_challenge(connection, challenge.digest)
        transaction.release(counted)
        session, tokens = open_session(transaction, challenge, FactorKind.RECOVERY_CODE)
        kinds = (SecurityEventKind.RECOVERY_CODE_USED, SecurityEventKind.SIGNED_IN)
        transaction.record(user.id, *kinds, refused_passwords=_refused_passwords(transaction, challenge))
        return SignedIn(tokens=tokens, user=User.of(accounts.find(connection, user.id), session.id))

    return await _run_with_challenge(services, client, challenge_token, verify)


async def restart_enrollment(
    services: Services, challenge_token: str, enrollment_code: str | None, client: Client
) -> RestartEnrollmentResult:
    """Replace the device and end every open challenge, this one too; a new challenge comes with the new secret.

    A password alone is enough only for an account that its owner registered and never confirmed. One that an operator
    imported or reset needs the operator's code as well. The code counts until the first one-time code is verified,
    since a page that was reloaded has lost the secret.
    """

    def restart(transaction: Transaction, challenge: LockedChallenge) -> RestartEnrollmentResult:
        connection, user = transaction.connection, challenge.user
        if user.account.mfa_enabled:
            return AlreadyEnrolled()
        counted = limits.enrollment_restart(user.id)
        if wait := transaction.limit(counted):
            return RateLimited.until(wait)
        if not _may_enroll(user, enrollment_code):
            # Counted for the challenge only: guesses must not use up the owner's restarts.
            sign_in.count_attempt(connection, challenge.digest)
            transaction.release(counted)
            return EnrollmentCodeRequired()
        sign_in.end_challenges(connection, user.id)
        totp.remove_all(connection, user.id)
        totp.forget_otp_failures(connection, user.id)
        enrollment = enroll_device(transaction, user.account)
        issued = issue_challenge(
            transaction, user.id, factors=[FactorKind.TOTP], refused_passwords=challenge.refused_passwords
        )
        return EnrollmentRestarted(enrollment=enrollment, challenge=issued)

    return await _run_with_challenge(services, client, challenge_token, restart)


def _may_enroll(user: StoredUser, enrollment_code: str | None) -> bool:
    return not user.needs_enrollment_code or user.enrollment_code_digest == enrollment_code_digest(
        enrollment_code or ""
    )


@asking_for_claims
async def reauthenticate(
    services: Services, access_token: str | None, otp: str | None, recovery_code: str | None, client: Client
) -> ReauthenticateResult:
    """Count and compare as at sign-in, then renew the session's `auth_time`; its refresh token stays as it is.

    Give one of the two: a one-time code or a recovery code.
    """

    def verify(transaction: Transaction, caller: Caller) -> ReauthenticateResult:
        user = caller.user
        if otp is not None:
            if refusal := otp_refusal(user, transaction.now):
                return refusal
            devices = totp.of_user(transaction.connection, user.id, confirmed=True)
            answer = answer_with_otp(transaction, user, devices, otp)
            if not isinstance(answer, Verified):
                return answer
            return _renew(transaction, caller, user.account, FactorKind.TOTP, answer.device_id)
        if refused := _answer_with_recovery_code(transaction, user.id, recovery_code or ""):
            return refused
        account = accounts.find(transaction.connection, user.id)
        return _renew(transaction, caller, account, FactorKind.RECOVERY_CODE)

    return await run_rate_limited(services, client, access_token, verify)


def _answer_with_recovery_code(
    transaction: Transaction, user_id: UUID, recovery_code: str
) -> InvalidRecoveryCode | RateLimited | None:
    counted = limits.recovery_code(user_id, transaction.client.address)
    if wait := transaction.limit(counted):
        return RateLimited.until(wait)
    if not consume_recovery_code(transaction.connection, user_id, recovery_code):
        transaction.record(user_id, SecurityEventKind.SIGN_IN_FAILED)
        return InvalidRecoveryCode.of(throttles.attempts_left(transaction.connection, counted))
    transaction.release(counted)
    transaction.record(user_id, SecurityEventKind.RECOVERY_CODE_USED)
    return None


def _renew(
    transaction: Transaction, caller: Caller, account: Account, factor: FactorKind, device_id: UUID | None = None
) -> Reauthenticated:
    services, now = transaction.services, transaction.now
    factors = tuple(dict.fromkeys((*caller.session.factors, factor)))
    session = replace(caller.session, authenticated_at=now, factors=factors, verified_by=device_id)
    sessions.reauthenticate(transaction.connection, session)
    token, expires_at = access_token_of(services, account, session, now, services.key_ring.current)
    return Reauthenticated(
        access_token=token,
        access_token_expires_at=expires_at,
        access_token_expires_in=seconds_until(expires_at, now),
        user=User.of(account, session.id),
    )


def issue_challenge(
    transaction: Transaction,
    user_id: UUID,
    *,
    factors: list[FactorKind],
    otp_wait: timedelta | None = None,
    refused_passwords: int = 0,
) -> Challenge:
    """Open a challenge for an account whose row the transaction locked or inserted."""
    settings = transaction.services.settings
    token = new_token(CHALLENGE_PREFIX)
    expires_at = transaction.now + timedelta(seconds=settings.challenge_lifetime_seconds)
    sign_in.add_challenge(
        transaction.connection,
        digest=digest(Purpose.CHALLENGE, token),
        user_id=user_id,
        now=transaction.now,
        expires_at=expires_at,
        at_most=_OPEN_CHALLENGES,
        refused_passwords=refused_passwords,
    )
    return Challenge(
        token=token,
        expires_at=expires_at,
        expires_in=settings.challenge_lifetime_seconds,
        attempts_left=limits.CHALLENGE_ATTEMPTS,
        factors=factors,
        otp_retry_after=throttling.seconds(otp_wait) if otp_wait else None,
    )


async def _run_with_challenge(
    services: Services, client: Client, challenge_token: str, use_case: Callable[[Transaction, LockedChallenge], T]
) -> T | ChallengeExpired:
    """Run a transaction that locks the open challenge of the token, and its account, first."""
    token = token_digest(Purpose.CHALLENGE, challenge_token)
    if token is None:
        return ChallengeExpired()

    def run(transaction: Transaction) -> T | ChallengeExpired:
        challenge = sign_in.lock_by_challenge(transaction.connection, token, transaction.now, limits.CHALLENGE_ATTEMPTS)
        return ChallengeExpired() if challenge is None else use_case(transaction, challenge)

    return await services.write(client, run)
