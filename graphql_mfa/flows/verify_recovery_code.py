"""Answer a challenge with a recovery code."""

from graphql_mfa.client import Client
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.secret_tokens import Purpose, token_digest
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.flows import limits
from graphql_mfa.flows.claims import asking_for_claims
from graphql_mfa.flows.recovery_codes import consume_recovery_code
from graphql_mfa.flows.sessions import open_session
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, challenges, throttles, users
from graphql_mfa.types.accounts import User
from graphql_mfa.types.challenges import ChallengeExpired
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode
from graphql_mfa.types.sign_in import SignedIn, VerifyRecoveryCodeResult
from graphql_mfa.types.throttling import RateLimited


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
        challenge = users.lock_by_challenge(connection, token, now, settings.challenge_attempts)
        if challenge is None:
            return ChallengeExpired()
        user = challenge.user
        counted = limits.recovery_code(settings, user.id, client.address)
        if wait := throttles.reserve_all(connection, counted, now):
            return RateLimited.until(wait)
        if not consume_recovery_code(connection, user.id, recovery_code):
            challenges.count_attempt(connection, token)
            services.events.record(connection, user.id, now, client, SecurityEventKind.SIGN_IN_FAILED)
            return InvalidRecoveryCode.of(challenge.attempts_left)
        challenges.consume(connection, token)
        throttles.give_back(connection, counted)
        session, tokens = open_session(connection, services, challenge, FactorKind.RECOVERY_CODE, client, now)
        events = (SecurityEventKind.RECOVERY_CODE_USED, SecurityEventKind.SIGNED_IN)
        services.events.record(connection, user.id, now, client, *events)
        return SignedIn(tokens=tokens, user=User.of(users.find(connection, user.id), session.id))

    return await services.database.write(answer)
