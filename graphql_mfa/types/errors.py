"""The interface of all failures, and those that any subject can have."""

from collections.abc import Mapping
from uuid import UUID

import strawberry
from graphql import GraphQLError

from graphql_mfa.core.inputs import FieldErrorCode, Problem


class PublicError(GraphQLError):
    """An error that a client reads as it is. Every other exception of a resolver is masked and logged.

    Without `extensions["code"]`, its code is BAD_USER_INPUT.
    """


def shown_id(id: UUID) -> strawberry.ID:
    """An id as clients see it."""
    return strawberry.ID(str(id))


def fixed_message(text: str) -> str:
    """The field `message` of a failure whose text is always the same."""
    field: str = strawberry.field(default=text, description="What happened and what to do, in English, for a person.")
    return field


@strawberry.interface(
    description="An expected failure that a person or an app can act on. Every failure member of a `...Result` union "
    "implements it; new ones may join a union at any time, so select `... on UserError { message }` and keep a "
    "default branch."
)
class UserError:
    message: str = strawberry.field(description="What happened and what to do, in English, for a person.")


@strawberry.type(description="One thing that is wrong with one field of the input.")
class FieldError:
    field: str = strawberry.field(description='The input field\'s name, as in "password".')
    code: FieldErrorCode = strawberry.field(description="What is wrong, for a program.")
    message: str = strawberry.field(description="What is wrong, for a person. It never repeats the value.")


@strawberry.type(description="The input does not meet the rules; `fields` lists all problems at once.")
class InvalidInput(UserError):
    message: str = fixed_message("Please correct the marked fields.")
    fields: list[FieldError] = strawberry.field(description="Every problem that was found.")

    @classmethod
    def of(cls, problems: Mapping[str, Problem | None]) -> "InvalidInput":
        """The problems of an input, by the name of its field; None where a field has none."""
        return cls(
            fields=[
                FieldError(field=field, code=problem.code, message=problem.message)
                for field, problem in problems.items()
                if problem
            ]
        )


@strawberry.type(description="The account has nothing of that id: it is gone, or never was.")
class NotFound(UserError):
    message: str = fixed_message("This is not there any more. Load the page again.")
