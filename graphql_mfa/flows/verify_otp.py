"""Answer a challenge with a one-time code."""

from datetime import datetime

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.secret_tokens import Purpose, token_digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.client import Client
from graphql_mfa.flows.outcomes import (
    ChallengeExpired,
    EnrollmentConfirmed,
    FactorDisabled,
    InvalidOtp,
    OtpAlreadyUsed,
    RateLimited,
    SignedIn,
)
from graphql_mfa.flows.recovery_codes import replace_recovery_codes
from graphql_mfa.flows.second_factor import Verified, answer_with_otp, otp_refusal
from graphql_mfa.flows.services import Services
from graphql_mfa.flows.sessions import open_session
from graphql_mfa.store import Connection, challenges, totp_devices, users
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

    def transact(connection: Connection) -> VerifyOtpOutcome:
        user = users.lock_by_challenge(connection, token, now, settings.challenge_attempts)
        if user is None:
            return ChallengeExpired()
        if refusal := otp_refusal(user, now):
            return refusal
        attempts_left = challenges.count_attempt(connection, token, settings.challenge_attempts)
        devices = totp_devices.of_user(connection, user.id, confirmed=user.account.mfa_enabled)
        answer = answer_with_otp(connection, services, user, devices, otp, client, now, attempts_left)
        if not isinstance(answer, Verified):
            return answer
        challenges.consume(connection, token)
        return _sign_in(connection, services, user, answer, client, now)

    return await services.database.write(transact)


def _sign_in(
    connection: Connection, services: Services, user: LockedUser, verified: Verified, client: Client, now: datetime
) -> SignedIn | EnrollmentConfirmed:
    tokens = open_session(connection, services, user, FactorKind.TOTP, client, now, verified.device_id)
    if user.account.mfa_enabled:
        services.events.record(connection, user.id, now, client, SecurityEventKind.SIGNED_IN)
        return SignedIn(tokens, user.account)
    users.enable_mfa(connection, user.id, now)
    codes = replace_recovery_codes(connection, services, user.id)
    events = (SecurityEventKind.ENROLLMENT_CONFIRMED, SecurityEventKind.SIGNED_IN)
    services.events.record(connection, user.id, now, client, *events)
    return EnrollmentConfirmed(tokens, users.find(connection, user.id), codes)
