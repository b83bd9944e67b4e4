"""Answer a challenge with a recovery code."""

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.recovery_codes import parse_recovery_code
from graphql_mfa.core.secret_tokens import Purpose, digest, token_digest
from graphql_mfa.flows import limits
from graphql_mfa.flows.outcomes import ChallengeExpired, InvalidRecoveryCode, RateLimited, SignedIn
from graphql_mfa.flows.services import Client, Services
from graphql_mfa.flows.sessions import open_session
from graphql_mfa.store import Connection, challenges, recovery_codes, throttles, users

VerifyRecoveryCodeOutcome = SignedIn | InvalidRecoveryCode | ChallengeExpired | RateLimited


async def verify_recovery_code(
    services: Services, challenge_token: str, recovery_code: str, client: Client
) -> VerifyRecoveryCodeOutcome:
    """Count the answer, use up code and challenge, open a session: one transaction.

    The wait for one-time codes does not touch recovery codes, nor the other way round.
    """
    settings = services.settings
    now = services.clock()
    token = token_digest(Purpose.CHALLENGE, challenge_token)
    if token is None:
        return ChallengeExpired()
    code = parse_recovery_code(recovery_code)

    def answer(connection: Connection) -> VerifyRecoveryCodeOutcome:
        user = users.lock_by_challenge(connection, token, now, settings.challenge_attempts)
        if user is None:
            return ChallengeExpired()
        counted = limits.recovery_code(settings, user.id, client.address)
        if wait := throttles.reserve_all(connection, counted, now):
            return RateLimited.until(wait)
        attempts_left = challenges.count_attempt(connection, token, settings.challenge_attempts)
        if not code or not recovery_codes.consume(connection, user.id, digest(Purpose.RECOVERY_CODE, code)):
            return InvalidRecoveryCode(attempts_left)
        challenges.consume(connection, token)
        throttles.give_back(connection, counted)
        tokens = open_session(connection, services, user.id, FactorKind.RECOVERY_CODE, client, now)
        return SignedIn(tokens, users.find(connection, user.id))

    return await services.database.write(answer)
