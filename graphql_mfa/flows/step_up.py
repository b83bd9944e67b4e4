"""Verifying a second factor again within a session."""

from dataclasses import replace
from uuid import UUID

from graphql_mfa.core.accounts import Account, FactorKind, Proof
from graphql_mfa.core.passkeys import Ceremony, CeremonyPurpose
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows import limits
from graphql_mfa.flows.passkeys import (
    PasskeyAnswer,
    authentication_ceremony,
    session_digest,
    use_ceremony,
    verify_answer,
)
from graphql_mfa.flows.recovery_codes import consume_recovery_code
from graphql_mfa.flows.sessions import access_token_of, asking_for_claims
from graphql_mfa.flows.signed_in import Caller, run_rate_limited
from graphql_mfa.flows.totp import answer_with_otp, otp_refusal
from graphql_mfa.services import Client, Services, Transaction
from graphql_mfa.store import accounts, sessions, throttles, totp
from graphql_mfa.types.accounts import User
from graphql_mfa.types.errors import RateLimited
from graphql_mfa.types.passkeys import (
    BeginPasskeyReauthenticationResult,
    PasskeyCeremony,
    PasskeyRejected,
    PasskeyUnavailable,
    UserVerificationRequired,
)
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode
from graphql_mfa.types.sessions import Reauthenticated, seconds_until
from graphql_mfa.types.sign_in import ChallengeExpired, ReauthenticateResult


@asking_for_claims
async def reauthenticate(
    services: Services,
    access_token: str | None,
    client: Client,
    *,
    otp: str | None = None,
    recovery_code: str | None = None,
    passkey: PasskeyAnswer | None = None,
) -> ReauthenticateResult:
    """Count and compare as at sign-in, then renew the session's `auth_time`; its refresh token stays as it is.

    Give one of the three.
    """

    def verify(transaction: Transaction, caller: Caller) -> ReauthenticateResult:
        connection, user = transaction.connection, caller.user
        if otp is not None:
            if refusal := otp_refusal(user, transaction.now):
                return refusal
            answer = answer_with_otp(transaction, user, totp.of_user(connection, user.id, confirmed=True), otp)
            return _renew(transaction, caller, user.account, answer) if isinstance(answer, Proof) else answer
        if passkey is not None:
            verified = _answer_with_passkey(transaction, caller, passkey)
            return _renew(transaction, caller, user.account, verified) if isinstance(verified, Proof) else verified
        if refused := _answer_with_recovery_code(transaction, user.id, recovery_code or ""):
            return refused
        return _renew(transaction, caller, accounts.find(connection, user.id), Proof(FactorKind.RECOVERY_CODE))

    return await run_rate_limited(services, client, access_token, verify)


async def begin_passkey_reauthentication(
    services: Services, access_token: str | None, client: Client
) -> BeginPasskeyReauthenticationResult:
    """Begin a ceremony whose answer `reauthenticate` takes, in this session."""

    def begin(transaction: Transaction, caller: Caller) -> PasskeyCeremony | PasskeyUnavailable:
        ceremony = Ceremony.begin(CeremonyPurpose.STEP_UP, transaction.now, caller.user.id, session_digest(caller))
        return authentication_ceremony(transaction, ceremony, verification=not caller.session.by_password)

    return await run_rate_limited(services, client, access_token, begin)


def _answer_with_passkey(
    transaction: Transaction, caller: Caller, answer: PasskeyAnswer
) -> Proof | ChallengeExpired | PasskeyRejected | UserVerificationRequired:
    ceremony = Ceremony.of_token(transaction.services.key_ring, answer.ceremony_token)
    party = transaction.services.settings.relying_party
    if party is None or ceremony is None or ceremony.purpose is not CeremonyPurpose.STEP_UP:
        return ChallengeExpired()
    if ceremony.bound_to != session_digest(caller) or not use_ceremony(transaction, ceremony):
        return ChallengeExpired()
    verification = not caller.session.by_password
    verified = verify_answer(transaction, party, ceremony, answer.credential, caller.user, verification=verification)
    failed = [SecurityEventKind.SIGN_IN_FAILED] * isinstance(verified.outcome, PasskeyRejected)
    if verified.events or failed:
        transaction.record(caller.user.id, *verified.events, *failed, factor=FactorKind.PASSKEY)
    return verified.outcome


def _answer_with_recovery_code(
    transaction: Transaction, user_id: UUID, recovery_code: str
) -> InvalidRecoveryCode | RateLimited | None:
    counted = limits.recovery_code(user_id, transaction.client.address)
    if wait := transaction.limit(counted):
        return RateLimited.until(wait)
    if not consume_recovery_code(transaction.connection, user_id, recovery_code):
        transaction.record(user_id, SecurityEventKind.SIGN_IN_FAILED, factor=FactorKind.RECOVERY_CODE)
        return InvalidRecoveryCode.of(throttles.attempts_left(transaction.connection, counted))
    transaction.release(counted)
    transaction.record(user_id, SecurityEventKind.RECOVERY_CODE_USED, factor=FactorKind.RECOVERY_CODE)
    return None


def _renew(transaction: Transaction, caller: Caller, account: Account, proof: Proof) -> Reauthenticated:
    services, now, before = transaction.services, transaction.now, caller.session
    session = replace(
        before,
        authenticated_at=now,
        factors=tuple(dict.fromkeys((*before.factors, proof.factor))),
        methods=tuple(dict.fromkeys((*before.methods, *proof.methods))),
        verified_by=proof.factor_id,
        user_verified=proof.user_verified,
    )
    sessions.reauthenticate(transaction.connection, session)
    token, expires_at = access_token_of(services, account, session, now, services.key_ring.current)
    return Reauthenticated(
        access_token=token,
        access_token_expires_at=expires_at,
        access_token_expires_in=seconds_until(expires_at, now),
        user=User.of(account, session.id),
    )
