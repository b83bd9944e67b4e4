"""Verifying a second factor again within a session."""

from dataclasses import replace

from graphql_mfa.core.accounts import FactorKind, Proof
from graphql_mfa.core.passkeys import Ceremony, CeremonyPurpose
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.passkeys import (
    PasskeyAnswer,
    answer_with_passkey,
    authentication_ceremony,
    open_ceremony,
    session_digest,
    use_ceremony,
)
from graphql_mfa.flows.recovery_codes import answer_with_recovery_code
from graphql_mfa.flows.sessions import access_token_of, asking_for_claims
from graphql_mfa.flows.signed_in import Caller, run_rate_limited
from graphql_mfa.flows.totp import answer_with_otp, otp_refusal
from graphql_mfa.services import Call, Transaction
from graphql_mfa.store import accounts, sessions, totp
from graphql_mfa.types.accounts import User
from graphql_mfa.types.passkeys import PasskeyCeremony, PasskeyRejected, PasskeyUnavailable, UserVerificationRequired
from graphql_mfa.types.sessions import seconds_until
from graphql_mfa.types.sign_in import ChallengeExpired
from graphql_mfa.types.step_up import BeginPasskeyReauthenticationResult, Reauthenticated, ReauthenticateResult


@asking_for_claims
async def reauthenticate(
    call: Call, *, otp: str | None, recovery_code: str | None, passkey: PasskeyAnswer | None
) -> ReauthenticateResult:
    """Count and compare as at sign-in, then renew the session's `auth_time`; its refresh token stays as it is.

    Give one of the three.
    """

    def verify(transaction: Transaction, caller: Caller) -> ReauthenticateResult:
        connection, user = transaction.connection, caller.user
        if otp is not None:
            answer: Proof | ReauthenticateResult = otp_refusal(user, transaction.now) or answer_with_otp(
                transaction, user, totp.of_user(connection, user.id, confirmed=True), otp
            )
        elif passkey is not None:
            answer = _answer_with_passkey(transaction, caller, passkey)
        else:
            answer = answer_with_recovery_code(transaction, user, recovery_code or "")
        return _renew(transaction, caller, answer) if isinstance(answer, Proof) else answer

    return await run_rate_limited(call, verify)


async def begin_passkey_reauthentication(call: Call) -> BeginPasskeyReauthenticationResult:
    """Begin a ceremony whose answer `reauthenticate` takes, in this session."""

    def begin(transaction: Transaction, caller: Caller) -> PasskeyCeremony | PasskeyUnavailable:
        ceremony = Ceremony.begin(CeremonyPurpose.STEP_UP, transaction.now, caller.user.id, session_digest(caller))
        return authentication_ceremony(transaction, ceremony, verification=not caller.session.by_password)

    return await run_rate_limited(call, begin)


def _answer_with_passkey(
    transaction: Transaction, caller: Caller, answer: PasskeyAnswer
) -> Proof | ChallengeExpired | PasskeyRejected | UserVerificationRequired:
    opened = open_ceremony(transaction.services, answer, CeremonyPurpose.STEP_UP)
    if opened is None:
        return ChallengeExpired()
    party, ceremony = opened
    if ceremony.bound_to != session_digest(caller) or not use_ceremony(transaction, ceremony):
        return ChallengeExpired()
    verified = answer_with_passkey(
        transaction, party, ceremony, answer.credential, caller.user, verification=not caller.session.by_password
    )
    if isinstance(verified, PasskeyRejected):
        transaction.record(caller.user.id, SecurityEventKind.SIGN_IN_FAILED, factor=FactorKind.PASSKEY)
    return verified


def _renew(transaction: Transaction, caller: Caller, proof: Proof) -> Reauthenticated:
    services, now, before, account = transaction.services, transaction.now, caller.session, caller.user.account
    if proof.factor is FactorKind.RECOVERY_CODE:
        account = accounts.find(transaction.connection, account.id)
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
