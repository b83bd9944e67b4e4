"""Declaring mutations, with the marks from which security rules are derived."""

from collections.abc import Callable
from typing import Any

import strawberry
from graphql import GraphQLObjectType, GraphQLSchema
from strawberry.schema.schema_converter import GraphQLCoreConverter

_TAKES_SECRET = "graphql_mfa.takes_secret"
SPELLING = "digits of any script; spaces, dashes, dots, quotes and invisible characters are ignored."
"""For descriptions: the accepted spellings of codes."""
ENROLLMENT_CODE = (
    "Issued by an operator; required for imported or reset accounts until their first factor is confirmed. Accepted in "
    "the same spellings as recovery codes."
)
"""The description of `enrollmentCode`."""
INPUT = strawberry.argument(description="The input.")
_NEEDS_RECENT_FACTOR = "Requires a second factor verified within the last five minutes: see `reauthenticate`."


def mutation(
    *, description: str, takes_secret: bool | None = None, needs_recent_factor: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Declare a mutation.

    takes_secret: whether an argument is a guessable secret, so that an operation can have at most one such field;
    required if an argument is named like a secret. needs_recent_factor: whether it returns ReauthenticationRequired
    unless the session verified a second factor recently.
    """
    if needs_recent_factor:
        description = f"{description} {_NEEDS_RECENT_FACTOR}"
    decorator: Callable[[Callable[..., Any]], Any] = strawberry.mutation(
        description=description, metadata={_TAKES_SECRET: takes_secret}
    )
    return decorator


def given(value: str | None) -> str | None:
    """An optional member of an input; None if it was left out, which is UNSET in strawberry."""
    return value if isinstance(value, str) else None


def secret_marks(schema: GraphQLSchema) -> dict[str, bool]:
    """The `takes_secret` of each mutation that declares it, by its name in the schema.

    Those of every type count, since a host may nest the mutations in a field of its own.
    """
    marks: dict[str, bool] = {}
    for type_ in schema.type_map.values():
        for name, field in type_.fields.items() if isinstance(type_, GraphQLObjectType) else ():
            definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
            mark = definition.metadata.get(_TAKES_SECRET) if definition else None
            if mark is not None:
                marks[name] = mark or marks.get(name, False)
    return marks
