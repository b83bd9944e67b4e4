"""How mutations are declared, with the marks that rules are derived from."""

from collections.abc import Callable
from typing import Any

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.schema_converter import GraphQLCoreConverter

_TAKES_SECRET = "graphql_mfa.takes_secret"
SPELLING = "digits of any script; spaces, dashes, dots, quotes and invisible characters don't matter."
"""How codes may be typed, in descriptions."""
INPUT = strawberry.argument(description="What the operation takes.")
_NEEDS_RECENT_FACTOR = "Demands a second factor that was verified within the last five minutes: see `reauthenticate`."


def mutation(
    *, description: str, takes_secret: bool | None = None, needs_recent_factor: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Declare a mutation.

    takes_secret: an argument is a secret that can be guessed, so an operation may have one such field at most. Where an
    argument is named like a secret, it has to be said, True or False. needs_recent_factor: it answers
    ReauthenticationRequired unless the session has just verified a second factor.
    """
    if needs_recent_factor:
        description = f"{description} {_NEEDS_RECENT_FACTOR}"
    decorator: Callable[[Callable[..., Any]], Any] = strawberry.mutation(
        description=description, metadata={_TAKES_SECRET: takes_secret}
    )
    return decorator


def secret_marks(schema: GraphQLSchema) -> dict[str, bool | None]:
    """What each mutation says of `takes_secret`, by its name in the schema."""
    fields = schema.mutation_type.fields if schema.mutation_type else {}
    return {
        name: field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].metadata.get(_TAKES_SECRET)
        for name, field in fields.items()
    }
