"""The refusal of every limit."""

import math
from datetime import timedelta

import strawberry

from graphql_mfa.core import throttling
from graphql_mfa.core.texts import quantity
from graphql_mfa.types.errors import UserError


@strawberry.type(description="Nothing was tried or counted by this call: wait, then repeat it.")
class RateLimited(UserError):
    retry_after: int = strawberry.field(description="Seconds to wait.")

    @classmethod
    def until(cls, wait: timedelta, *, new_address: bool = False) -> "RateLimited":
        """The refusal for a wait.

        new_address: the limit is shared by all addresses that are new to the account, so others may take the next try.
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
        """The refusal of a limit."""
        return cls.until(refusal.wait, new_address=refusal.limit.new_addresses)
