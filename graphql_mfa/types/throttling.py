"""The failure of every limit."""

import math
from datetime import timedelta

import strawberry

from graphql_mfa.core import throttling
from graphql_mfa.core.inputs import quantity
from graphql_mfa.types.errors import UserError


@strawberry.type(
    description="The call was refused, without checking or counting anything.\n\n"
    "Retry after `retryAfter` seconds. After `verifyOtp`, offer a recovery code too, since the wait can "
    "outlast the challenge."
)
class RateLimited(UserError):
    retry_after: int = strawberry.field(description="Seconds to wait.")

    @classmethod
    def until(cls, wait: timedelta, *, new_address: bool = False) -> "RateLimited":
        """The failure for a wait.

        new_address: all addresses that are new to the account share the limit, so others can use up the next attempt.
        """
        retry_after = throttling.seconds(wait)
        minutes = math.ceil(retry_after / 60)
        text = quantity(minutes, "minute") if minutes > 1 else quantity(retry_after, "second")
        message = f"Too many attempts. Try again in {text}."
        if new_address:
            message += " If that keeps failing, use a network from which you signed in before, or ask for help."
        return cls(message=message, retry_after=retry_after)

    @classmethod
    def by(cls, refusal: throttling.Refusal) -> "RateLimited":
        """The failure for a refusal."""
        return cls.until(refusal.wait, new_address=refusal.limit.new_addresses)
