"""Signing in: the password opens a challenge, and a second factor answers it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from graphql_mfa.core import throttling
from graphql_mfa.core.accounts import FactorKind, Proof, lookup_key
from graphql_mfa.core.passwords import PasswordVerdict
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Refusal
from graphql_mfa.core.tokens import CHALLENGE_PREFIX, Purpose, digest, new_token, token_digest
from graphql_mfa.flows import limits
from graphql_mfa.flows.recovery_codes import answer_with_recovery_code, replace_recovery_codes
from graphql_mfa.flows.second_factors import usable_factors
from graphql_mfa.flows.sessions import asking_for_claims, open_session
from graphql_mfa.flows.totp import add_device, answer_with_otp, enrollment_code_digest, otp_refusal
from graphql_mfa.services import Call, Transaction
from graphql_mfa.store import accounts, sign_in, throttles, totp
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.sign_in import LockedChallenge, LoginCandidate
from graphql_mfa.store.throttles import Reserved
from graphql_mfa.types.accounts import User
from graphql_mfa.types.errors import RateLimited
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode
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
    RestartEnrollmentResult,
    SignedIn,
    VerifyOtpResult,
    VerifyRecoveryCodeResult,
)

T = TypeVar("T")

_OPEN_CHALLENGES = 10  # of an account; one more ends the oldest


async def login(call: Call, username: str, password: str) -> LoginResult:
    """Wait for a turn of the hashing threads, then check the password."""
    async with call.services.hashing.slot(call.client.address) as slot:
        if isinstance(slot, timedelta):
            return RateLimited.until(slot)
        return await _check_password(call, username, password)


async def _check_password(call: Call, username: str, password: str) -> LoginResult:
    """Count the attempt, compare the password, open a challenge.

    An attempt is counted, and committed, before the password is compared; a right one is released. An unknown username
    costs the same statements and the same hash as a known one.
    """
    services, client, name_key = call.services, call.client, lookup_key(username)

    def reserve(transaction: Transaction) -> tuple[LoginCandidate | None, Reserved] | RateLimited:
        connection, now = transaction.connection, transaction.now
        candidate = sign_in.find_for_login(connection, name_key, client.address, now)
        # A name that no account can have is counted as it was typed.
        choices = limits.login(services.settings, name_key or username, client, candidate)
        counted = throttles.reserve_first(connection, choices, now)
        return RateLimited.by(counted) if isinstance(counted, Refusal) else (candidate, counted)

    reserved = await call.write(reserve)
    if isinstance(reserved, RateLimited):
        return reserved
    candidate, counted = reserved
    verdict = await services.hashing.run(
        services.hashing.hasher.verify, password, candidate.password_hash if candidate else None
    )
    if candidate is None or not verdict.right:
        return InvalidCredentials()
    return await call.write(lambda transaction: _require_second_factor(transaction, candidate, counted, verdict))


def _require_second_factor(
    transaction: Transaction, candidate: LoginCandidate, counted: Reserved, verdict: PasswordVerdict
) -> OtpRequired | InvalidCredentials:
    connection, now = transaction.connection, transaction.now
    user = accounts.lock(connection, candidate.id, now)
    if user is None or user.password_hash != candidate.password_hash:
        return InvalidCredentials()
    transaction.release(counted.limits)
    if verdict.new_hash:
        accounts.replace_password_hash(connection, user.id, verdict.new_hash)
    challenge = issue_challenge(
        transaction,
        user.id,
        factors=usable_factors(transaction, user),
        otp_wait=user.otp_wait(now) if user.expects_codes else None,
        refused_passwords=counted.usages[limits.refused_passwords(user.key)].attempts - 1,
    )
    return OtpRequired(challenge=challenge, enrollment_pending=not user.account.mfa_enabled)


@asking_for_claims
async def verify_otp(call: Call, challenge_token: str, otp: str) -> VerifyOtpResult:
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
        if not isinstance(answer, Proof):
            sign_in.count_attempt(connection, challenge.digest)
            return answer
        if not user.account.mfa_enabled:
            return confirm_enrollment(transaction, challenge, answer)
        return complete_sign_in(transaction, user, answer, challenge)

    return await run_with_challenge(call, challenge_token, verify)


def confirm_enrollment(transaction: Transaction, challenge: LockedChallenge, proof: Proof) -> EnrollmentConfirmed:
    """Switch the second factor on with the first one, and open a session.

    Every challenge ends, and with it the ceremonies of passkeys that were begun with it.
    """
    user = challenge.user
    sign_in.end_challenges(transaction.connection, user.id)
    session, tokens = open_session(transaction, user, proof, challenge)
    accounts.enable_mfa(transaction.connection, user.id, transaction.now)
    codes = replace_recovery_codes(transaction, user.id)
    _report_refused_passwords(transaction, user, challenge)
    transaction.record(
        user.id, SecurityEventKind.ENROLLMENT_CONFIRMED, SecurityEventKind.SIGNED_IN, factor=proof.factor
    )
    account = replace(user.account, mfa_enabled=True, recovery_codes_left=len(codes))
    return EnrollmentConfirmed(tokens=tokens, user=User.of(account, session.id), recovery_codes=codes)


def complete_sign_in(
    transaction: Transaction, user: StoredUser, proof: Proof, challenge: LockedChallenge | None = None
) -> SignedIn:
    """Open a session. challenge: the one that was answered, which is used up; None for a passkey alone."""
    if challenge:
        sign_in.consume_challenge(transaction.connection, challenge.digest)
    session, tokens = open_session(transaction, user, proof, challenge)
    _report_refused_passwords(transaction, user, challenge)
    transaction.record(user.id, SecurityEventKind.SIGNED_IN, factor=proof.factor)
    return SignedIn(tokens=tokens, user=User.of(user.account, session.id))


def _report_refused_passwords(transaction: Transaction, user: StoredUser, challenge: LockedChallenge | None) -> None:
    """Record how many were refused since the last sign-in, by one of the sign-ins that know of them."""
    connection, key = transaction.connection, limits.refused_passwords(user.key)
    number = challenge.refused_passwords if challenge else throttles.attempts(connection, key)
    if number and throttles.subtract(connection, key, number):
        transaction.record(user.id, SecurityEventKind.PASSWORDS_REFUSED, count=number)


@asking_for_claims
async def verify_recovery_code(call: Call, challenge_token: str, recovery_code: str) -> VerifyRecoveryCodeResult:
    """Use up code and challenge and open a session, or count the attempt: one transaction."""

    def verify(transaction: Transaction, challenge: LockedChallenge) -> VerifyRecoveryCodeResult:
        connection, user = transaction.connection, challenge.user
        answer = answer_with_recovery_code(transaction, user, recovery_code, challenge)
        if isinstance(answer, InvalidRecoveryCode):
            sign_in.count_attempt(connection, challenge.digest)
        if not isinstance(answer, Proof):
            return answer
        user = replace(user, account=accounts.find(connection, user.id))
        return complete_sign_in(transaction, user, answer, challenge)

    return await run_with_challenge(call, challenge_token, verify)


async def restart_enrollment(call: Call, challenge_token: str, enrollment_code: str | None) -> RestartEnrollmentResult:
    """Replace the device and end every open challenge, this one too; a new challenge comes with the new secret.

    A password alone is enough only for an account that its owner registered and never confirmed. One that an operator
    imported or reset needs the operator's code as well. The code counts until the first factor is verified,
    since a page that was reloaded has lost the secret.
    """

    def restart(transaction: Transaction, challenge: LockedChallenge) -> RestartEnrollmentResult:
        connection, user = transaction.connection, challenge.user
        if user.account.mfa_enabled:
            return AlreadyEnrolled()
        counted = limits.enrollment_restart(user.id)
        if wait := transaction.limit(counted):
            return RateLimited.until(wait)
        if refused := refuse_enrollment(transaction, challenge, enrollment_code):
            transaction.release(counted)
            return refused
        sign_in.end_challenges(connection, user.id)
        totp.remove_all(connection, user.id)
        totp.forget_otp_failures(connection, user.id)
        _, enrollment = add_device(transaction, user.account)
        issued = issue_challenge(
            transaction, user.id, factors=[FactorKind.TOTP], refused_passwords=challenge.refused_passwords
        )
        return EnrollmentRestarted(enrollment=enrollment, challenge=issued)

    return await run_with_challenge(call, challenge_token, restart)


def refuse_enrollment(
    transaction: Transaction, challenge: LockedChallenge, enrollment_code: str | None
) -> EnrollmentCodeRequired | None:
    """Unless an account that was never confirmed may add its first factor, with that code of an operator.

    A wrong code counts for the challenge only: guesses must not use up anything of the owner's.
    """
    user = challenge.user
    if not user.needs_enrollment_code or user.enrollment_code_digest == enrollment_code_digest(enrollment_code or ""):
        return None
    sign_in.count_attempt(transaction.connection, challenge.digest)
    return EnrollmentCodeRequired()


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


async def run_with_challenge(
    call: Call, challenge_token: str, use_case: Callable[[Transaction, LockedChallenge], T]
) -> T | ChallengeExpired:
    """Run a transaction that locks the open challenge of that token, and its account, first."""
    return await run_with_challenge_of_digest(call, token_digest(Purpose.CHALLENGE, challenge_token), use_case)


async def run_with_challenge_of_digest(
    call: Call, challenge_digest: bytes | None, use_case: Callable[[Transaction, LockedChallenge], T]
) -> T | ChallengeExpired:
    """Run a transaction that locks the open challenge whose token has that digest, and its account, first."""
    if challenge_digest is None:
        return ChallengeExpired()

    def run(transaction: Transaction) -> T | ChallengeExpired:
        connection, now = transaction.connection, transaction.now
        challenge = sign_in.lock_by_challenge(connection, challenge_digest, now, limits.CHALLENGE_ATTEMPTS)
        return ChallengeExpired() if challenge is None else use_case(transaction, challenge)

    return await call.write(run)
