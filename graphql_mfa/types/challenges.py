"""Challenges: what a right password, or a registration, opens, and a second factor answers."""

from datetime import datetime

import strawberry

from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.types.errors import UserError, fixed_message


@strawberry.type(description="A question that a second factor answers, within a few minutes and a few attempts.")
class Challenge:
    token: str = strawberry.field(description="The secret that stands for the challenge; send it with the answer.")
    expires_at: datetime = strawberry.field(description="When it can't be answered any more.")
    expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    attempts_left: int = strawberry.field(description="Wrong answers still allowed; the last one ends the challenge.")
    factors: list[FactorKind] = strawberry.field(
        description="What can answer it now. One-time codes are not listed while they are blocked or off."
    )
    otp_retry_after: int | None = strawberry.field(
        description="Seconds until one-time codes are accepted, when they are blocked for a while; else null."
    )


@strawberry.type(description="The challenge is unknown, answered, or too old: log in again.")
class ChallengeExpired(UserError):
    message: str = fixed_message("This sign-in has expired. Log in again.")
