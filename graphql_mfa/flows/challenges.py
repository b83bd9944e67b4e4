"""Issuing a challenge, as several use cases do."""

from datetime import datetime, timedelta
from uuid import UUID

from graphql_mfa.core import throttling
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.secret_tokens import CHALLENGE_PREFIX, Purpose, digest, new_token
from graphql_mfa.services import Services
from graphql_mfa.store import Connection, challenges
from graphql_mfa.types.challenges import Challenge


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
    challenges.add(
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
