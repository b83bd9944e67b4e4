"""Challenges, which a right password or a registration opens, and a second factor answers."""

from datetime import datetime

import strawberry

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.types.errors import UserError, fixed_message


@strawberry.type(description="A pending sign-in: complete it with a second factor, within a few minutes and attempts.")
class Challenge:
    token: str = strawberry.field(description="The secret that identifies the challenge. Send it with the answer.")
    expires_at: datetime = strawberry.field(description="When it expires.")
    expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    attempts_left: int = strawberry.field(description="Remaining attempts; a wrong answer at 1 ends the challenge.")
    factors: list[FactorKind] = strawberry.field(
        description="The factors that are accepted now. One-time codes are not listed while they are blocked or off."
    )
    otp_retry_after: int | None = strawberry.field(
        description="Seconds until blocked one-time codes are accepted again; null if they are not blocked."
    )


@strawberry.type(
    description="The challenge is unknown, answered, or expired.\n\n"
    "Show the login form. If a registration was not finished, `restartEnrollment` gives a new QR code "
    "after `login`."
)
class ChallengeExpired(UserError):
    message: str = fixed_message("This sign-in has expired. Log in again.")
