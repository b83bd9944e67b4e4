"""Signing in: the password opens a challenge, and a second factor answers it."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from graphql_mfa.client import Client
from graphql_mfa.core import throttling
from graphql_mfa.core.accounts import Account, FactorKind
from graphql_mfa.core.password_hashing import PasswordVerdict
from graphql_mfa.core.secret_tokens import CHALLENGE_PREFIX, Purpose, digest, new_token, token_digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Refusal
from graphql_mfa.core.usernames import lookup_key
from graphql_mfa.flows import limits
from graphql_mfa.flows.claims import asking_for_claims
from graphql_mfa.flows.recovery_codes import consume_recovery_code, replace_recovery_codes
from graphql_mfa.flows.sessions import access_token_of, open_session
from graphql_mfa.flows.signed_in import Caller, act_counted, usable_factors
from graphql_mfa.flows.totp import (
    Verified,
    answer_with_otp,
    attempts_before_a_wait,
    enroll_device,
    enrollment_code_digest,
    otp_refusal,
)
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, accounts, sessions, sign_in, throttles, totp
from graphql_mfa.store.accounts import LockedUser
from graphql_mfa.store.sign_in import LockedChallenge, LoginCandidate
from graphql_mfa.types.accounts import User
from graphql_mfa.types.challenges import Challenge, ChallengeExpired
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode
from graphql_mfa.types.sessions import Reauthenticated, seconds_until
from graphql_mfa.types.sign_in import (
    AlreadyEnrolled,
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
from graphql_mfa.types.throttling import RateLimited
from graphql_mfa.types.totp import FactorDisabled, InvalidOtp, OtpAlreadyUsed


async def login(services: Services, username: str, password: str, client: Client) -> LoginResult:
    """Wait for a turn of the hashing threads, then check the password."""
    async with services.hashing.slot(client.address) as slot:
        if isinstance(slot, timedelta):
            return RateLimited.until(slot)
        return await _check(services, username, password, client)


async def _check(services: Services, username: str, password: str, client: Client) -> LoginResult:
    """Count the attempt, compare the password, open a challenge.

    An attempt is counted, and committed, before the password is looked at; a success gives it back. An unknown name
    costs the same statements and the same hash as a known one.
    """
    settings = services.settings
    now = services.clock()
    name_key = lookup_key(username)

    def reserve(connection: Connection) -> tuple[LoginCandidate | None, limits.Limits] | RateLimited:
        candidate = sign_in.find_for_login(connection, name_key, client.address, now)
        knows_address = candidate is not None and candidate.knows_address
        # A name that no account can have is counted as it was typed.
        choices = limits.login(settings, name_key or username, client, knows_address=knows_address)
        counted = throttles.reserve_first(connection, choices, now)
        return RateLimited.by(counted) if isinstance(counted, Refusal) else (candidate, counted)

    reserved = await services.database.write(reserve)
    if isinstance(reserved, RateLimited):
        return reserved
    candidate, counted = reserved
    verdict = await services.hashing.run(
        services.hashing.hasher.verify,
        password,
        candidate.password_hash if candidate else None,
    )
    if candidate is None or not verdict.right:
        user_id = candidate.id if candidate else None
        await services.database.write(
            lambda connection: services.events.record_wrong_password(connection, user_id, now, client)
        )
        return InvalidCredentials()

    def succeed(connection: Connection) -> OtpRequired | InvalidCredentials:
        user = accounts.lock(connection, candidate.id, now)
        if user is None or user.password_hash != candidate.password_hash:
            return InvalidCredentials()
        throttles.give_back(connection, counted)
        return _ask_for_second_factor(connection, services, user, verdict, now)

    return await services.database.write(succeed)


def _ask_for_second_factor(
    connection: Connection, services: Services, user: LockedUser, verdict: PasswordVerdict, now: datetime
) -> OtpRequired:
    if verdict.new_hash:
        accounts.replace_password_hash(connection, user.id, verdict.new_hash)
    enabled = user.account.mfa_enabled
    has_device = enabled or bool(totp.of_user(connection, user.id, confirmed=False))
    factors = usable_factors(user, now, has_device=has_device)
    challenge = issue_challenge(connection, services, user.id, now, factors=factors, otp_wait=user.otp_wait(now))
    return OtpRequired(challenge=challenge, enrollment_pending=not enabled)


@asking_for_claims
async def verify_otp(services: Services, challenge_token: str, otp: str, client: Client) -> VerifyOtpResult:
    """Compare the answer; count it, or use up challenge and time step and open a session: one transaction.

    The first statement locks the account's row, so an answer is compared after every earlier one for the account was
    counted.
    """
    settings = services.settings
    now = services.clock()
    token = token_digest(Purpose.CHALLENGE, challenge_token)
    if token is None:
        return ChallengeExpired()

    def transact(connection: Connection) -> VerifyOtpResult:
        challenge = sign_in.lock_by_challenge(connection, token, now, settings.challenge_attempts)
        if challenge is None:
            return ChallengeExpired()
        user = challenge.user
        if refusal := otp_refusal(user, now):
            return refusal
        devices = totp.of_user(connection, user.id, confirmed=user.account.mfa_enabled)
        left = challenge.attempts_left
        repeated = left < settings.challenge_attempts - 1
        answer = answer_with_otp(connection, services, user, devices, otp, client, now, left, repeated=repeated)
        if not isinstance(answer, Verified):
            sign_in.count_attempt(connection, token)
            return answer
        sign_in.consume_challenge(connection, token)
        return _sign_in(connection, services, challenge, answer, client, now)

    return await services.database.write(transact)


def _sign_in(
    connection: Connection,
    services: Services,
    challenge: LockedChallenge,
    verified: Verified,
    client: Client,
    now: datetime,
) -> SignedIn | EnrollmentConfirmed:
    user = challenge.user
    session, tokens = open_session(connection, services, challenge, FactorKind.TOTP, client, now, verified.device_id)
    if user.account.mfa_enabled:
        services.events.record(connection, user.id, now, client, SecurityEventKind.SIGNED_IN)
        return SignedIn(tokens=tokens, user=User.of(user.account, session.id))
    accounts.enable_mfa(connection, user.id, now)
    codes = replace_recovery_codes(connection, services, user.id)
    events = (SecurityEventKind.ENROLLMENT_CONFIRMED, SecurityEventKind.SIGNED_IN)
    services.events.record(connection, user.id, now, client, *events)
    account = replace(user.account, mfa_enabled=True, recovery_codes_left=len(codes))
    return EnrollmentConfirmed(tokens=tokens, user=User.of(account, session.id), recovery_codes=codes)


@asking_for_claims
async def verify_recovery_code(
    services: Services, challenge_token: str, recovery_code: str, client: Client
) -> VerifyRecoveryCodeResult:
    """Use up code and challenge and open a session, or count the answer: one transaction.

    The wait for one-time codes does not touch recovery codes, nor the other way round.
    """
    settings = services.settings
    now = services.clock()
    token = token_digest(Purpose.CHALLENGE, challenge_token)
    if token is None:
        return ChallengeExpired()

    def answer(connection: Connection) -> VerifyRecoveryCodeResult:
        challenge = sign_in.lock_by_challenge(connection, token, now, settings.challenge_attempts)
        if challenge is None:
            return ChallengeExpired()
        user = challenge.user
        counted = limits.recovery_code(settings, user.id, client.address)
        if wait := throttles.reserve_all(connection, counted, now):
            return RateLimited.until(wait)
        if not consume_recovery_code(connection, user.id, recovery_code):
            sign_in.count_attempt(connection, token)
            services.events.record(connection, user.id, now, client, SecurityEventKind.SIGN_IN_FAILED)
            return InvalidRecoveryCode.of(challenge.attempts_left)
        sign_in.consume_challenge(connection, token)
        throttles.give_back(connection, counted)
        session, tokens = open_session(connection, services, challenge, FactorKind.RECOVERY_CODE, client, now)
        events = (SecurityEventKind.RECOVERY_CODE_USED, SecurityEventKind.SIGNED_IN)
        services.events.record(connection, user.id, now, client, *events)
        return SignedIn(tokens=tokens, user=User.of(accounts.find(connection, user.id), session.id))

    return await services.database.write(answer)


async def restart_enrollment(
    services: Services, challenge_token: str, enrollment_code: str | None
) -> RestartEnrollmentResult:
    """Replace the device and end every open challenge, this one too; a new challenge comes with the new secret.

    A password alone is enough only for an account that its owner registered and never confirmed. One that an operator
    imported or reset needs the operator's code as well. It counts until the first one-time code is verified, since a
    page that was reloaded has lost the secret.
    """
    settings = services.settings
    now = services.clock()
    token = token_digest(Purpose.CHALLENGE, challenge_token)
    if token is None:
        return ChallengeExpired()

    def restart(connection: Connection) -> RestartEnrollmentResult:
        challenge = sign_in.lock_by_challenge(connection, token, now, settings.challenge_attempts)
        if challenge is None:
            return ChallengeExpired()
        user = challenge.user
        if user.account.mfa_enabled:
            return AlreadyEnrolled()
        counted = limits.enrollment_restart(settings, user.id)
        if wait := throttles.reserve_all(connection, counted, now):
            return RateLimited.until(wait)
        if not _may_enroll(user, enrollment_code):
            # Counted on the challenge only: a guesser must not use up the owner's restarts.
            sign_in.count_attempt(connection, token)
            throttles.give_back(connection, counted)
            return EnrollmentCodeRequired()
        sign_in.end_challenges(connection, user.id)
        totp.remove_all(connection, user.id)
        totp.forget_otp_failures(connection, user.id)
        enrollment = enroll_device(connection, services, user.id, user.account.username, now)
        issued = issue_challenge(connection, services, user.id, now, factors=[FactorKind.TOTP])
        return EnrollmentRestarted(enrollment=enrollment, challenge=issued)

    return await services.database.write(restart)


def _may_enroll(user: LockedUser, enrollment_code: str | None) -> bool:
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

    def transact(connection: Connection, caller: Caller) -> ReauthenticateResult:
        if otp is not None:
            answer = _answer_with_otp(connection, services, caller, otp, client)
            if not isinstance(answer, Verified):
                return answer
            return _renew(connection, services, caller, caller.user.account, FactorKind.TOTP, answer.device_id)
        if refusal := _answer_with_code(connection, services, caller, recovery_code or "", client):
            return refusal
        account = accounts.find(connection, caller.user.id)
        return _renew(connection, services, caller, account, FactorKind.RECOVERY_CODE)

    return await act_counted(services, access_token, transact)


def _answer_with_otp(
    connection: Connection, services: Services, caller: Caller, otp: str, client: Client
) -> Verified | InvalidOtp | OtpAlreadyUsed | FactorDisabled | RateLimited:
    user = caller.user
    if refusal := otp_refusal(user, caller.now):
        return refusal
    devices = totp.of_user(connection, user.id, confirmed=True)
    attempts_left = attempts_before_a_wait(services.settings, user)
    repeated = user.otp_failures > 0
    return answer_with_otp(
        connection, services, user, devices, otp, client, caller.now, attempts_left, repeated=repeated
    )


def _answer_with_code(
    connection: Connection, services: Services, caller: Caller, code: str, client: Client
) -> InvalidRecoveryCode | RateLimited | None:
    counted = limits.recovery_code(services.settings, caller.user.id, client.address)
    if wait := throttles.reserve_all(connection, counted, caller.now):
        return RateLimited.until(wait)
    if not consume_recovery_code(connection, caller.user.id, code):
        services.events.record(connection, caller.user.id, caller.now, client, SecurityEventKind.SIGN_IN_FAILED)
        return InvalidRecoveryCode.of(throttles.attempts_left(connection, counted))
    throttles.give_back(connection, counted)
    services.events.record(connection, caller.user.id, caller.now, client, SecurityEventKind.RECOVERY_CODE_USED)
    return None


def _renew(
    connection: Connection,
    services: Services,
    caller: Caller,
    account: Account,
    factor: FactorKind,
    device_id: UUID | None = None,
) -> Reauthenticated:
    factors = tuple(dict.fromkeys((*caller.session.factors, factor)))
    session = replace(caller.session, authenticated_at=caller.now, factors=factors, verified_by=device_id)
    sessions.reauthenticate(connection, session)
    token, expires_at = access_token_of(services, account, session, caller.now, services.key_ring.current)
    return Reauthenticated(
        access_token=token,
        access_token_expires_at=expires_at,
        access_token_expires_in=seconds_until(expires_at, caller.now),
        user=User.of(account, session.id),
    )


def issue_challenge(
    connection: Connection,
    services: Services,
    user_id: UUID,
    now: datetime,
    *,
    factors: list[FactorKind],
    otp_wait: timedelta | None = None,
) -> Challenge:
    """Open a challenge for an account whose row the transaction holds, or has just made."""
    settings = services.settings
    token = new_token(CHALLENGE_PREFIX)
    expires_at = now + timedelta(seconds=settings.challenge_lifetime_seconds)
    sign_in.add_challenge(
        connection,
        digest=digest(Purpose.CHALLENGE, token),
        user_id=user_id,
        now=now,
        expires_at=expires_at,
        at_most=settings.challenges_per_user,
    )
    return Challenge(
        token=token,
        expires_at=expires_at,
        expires_in=settings.challenge_lifetime_seconds,
        attempts_left=settings.challenge_attempts,
        factors=factors,
        otp_retry_after=throttling.seconds(otp_wait) if otp_wait else None,
    )
