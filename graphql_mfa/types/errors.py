"""The interface of all failures, and the failures that subjects share."""

import math
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import strawberry
from graphql import GraphQLError
from strawberry.types.union import StrawberryUnion

from graphql_mfa.core import throttling
from graphql_mfa.core.inputs import FieldErrorCode, Problem, quantity

_MESSAGE = "What happened and what to do, in English, for people."


class PublicError(GraphQLError):
    """An error whose message clients see. All other exceptions of resolvers are masked and logged.

    The default `extensions["code"]` is BAD_USER_INPUT.
    """


def outcomes_of(mutation: str) -> StrawberryUnion:
    """The union of the outcomes of a mutation, by its name in the schema."""
    name = f"{mutation[0].upper()}{mutation[1:]}Result"
    return strawberry.union(name, description=f"Outcomes of `{mutation}`. New members may join.")


def shown_id(id: UUID) -> strawberry.ID:
    """An id as clients see it."""
    return strawberry.ID(str(id))


def fixed_message(text: str) -> str:
    """The field `message` of a failure with a fixed text."""
    field: str = strawberry.field(default=text, description=_MESSAGE)
    return field


@strawberry.interface(
    description="An expected failure. Every failure member of a `...Result` union implements it. New members may join "
    "a union at any time, so select `... on UserError { message }` and keep a default branch."
)
class UserError:
    message: str = strawberry.field(description=_MESSAGE)


@strawberry.type(description="One problem of one field of the input.")
class FieldError:
    field: str = strawberry.field(description='The name of the input field, such as "password".')
    code: FieldErrorCode = strawberry.field(description="The problem, for programs.")
    message: str = strawberry.field(description="The problem, for people. Never repeats the value.")


@strawberry.type(
    description="The input breaks the rules; `fields` lists all problems at once. `refreshSession` returns it for "
    "its `retryKey` only.\n\n"
    "Show each problem beside its field."
)
class InvalidInput(UserError):
    fields: list[FieldError] = strawberry.field(description="All problems.")

    @classmethod
    def of(cls, problems: Mapping[str, Problem | None]) -> "InvalidInput":
        """Problems by the name of the input field; None for a field without one."""
        fields = [
            FieldError(field=field, code=problem.code, message=problem.message)
            for field, problem in problems.items()
            if problem
        ]
        return cls(message=" ".join(field.message for field in fields), fields=fields)


@strawberry.type(description="The account has no object with this id, or no longer has it.\n\nLoad `me` again.")
class NotFound(UserError):
    message: str = fixed_message("This no longer exists. Reload the page.")


@strawberry.type(
    description="The call was refused, without checking or counting anything.\n\n"
    "Retry after `retryAfter` seconds. After `verifyOtp`, offer a passkey or a recovery code too, since the wait can "
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
        return cls.until(refusal.wait, new_address=refusal.limit.new_addresses)
