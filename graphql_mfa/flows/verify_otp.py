"""Answer a challenge with a one-time code."""

from dataclasses import replace
from datetime import datetime

from graphql_mfa.client import Client
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.secret_tokens import Purpose, token_digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows.claims import asking_for_claims
from graphql_mfa.flows.recovery_codes import replace_recovery_codes
from graphql_mfa.flows.second_factor import Verified, answer_with_otp, otp_refusal
from graphql_mfa.flows.sessions import open_session
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, challenges, totp_devices, users
from graphql_mfa.store.users import LockedChallenge
from graphql_mfa.types.accounts import User
from graphql_mfa.types.challenges import ChallengeExpired
from graphql_mfa.types.sign_in import EnrollmentConfirmed, SignedIn, VerifyOtpResult


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
        challenge = users.lock_by_challenge(connection, token, now, settings.challenge_attempts)
        if challenge is None:
            return ChallengeExpired()
        user = challenge.user
        if refusal := otp_refusal(user, now):
            return refusal
        devices = totp_devices.of_user(connection, user.id, confirmed=user.account.mfa_enabled)
        left = challenge.attempts_left
        repeated = left < settings.challenge_attempts - 1
        answer = answer_with_otp(connection, services, user, devices, otp, client, now, left, repeated=repeated)
        if not isinstance(answer, Verified):
            challenges.count_attempt(connection, token)
            return answer
        challenges.consume(connection, token)
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
    users.enable_mfa(connection, user.id, now)
    codes = replace_recovery_codes(connection, services, user.id)
    events = (SecurityEventKind.ENROLLMENT_CONFIRMED, SecurityEventKind.SIGNED_IN)
    services.events.record(connection, user.id, now, client, *events)
    account = replace(user.account, mfa_enabled=True, recovery_codes_left=len(codes))
    return EnrollmentConfirmed(tokens=tokens, user=User.of(account, session.id), recovery_codes=codes)
