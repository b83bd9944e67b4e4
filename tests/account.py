"""Operations of a signed-in user. Their documents are generated from the schema and select every field."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    build_schema,
    get_named_type,
    is_abstract_type,
    is_required_argument,
)

from tests.api_client import Api, Result

SCHEMA = build_schema((Path(__file__).parents[1] / "schema.graphql").read_text())
_LEVELS = 4


def mutations() -> dict[str, GraphQLField]:
    """All of the schema's, by name."""
    assert SCHEMA.mutation_type is not None
    return dict(SCHEMA.mutation_type.fields)


def members_of(mutation: str) -> set[str]:
    """The names of its outcomes."""
    union = get_named_type(mutations()[mutation].type)
    assert is_abstract_type(union)
    return {type_.name for type_ in SCHEMA.get_possible_types(union)}


@cache
def document(mutation: str) -> str:
    """The mutation with all of its arguments as variables, and every field of every outcome."""
    arguments = mutations()[mutation].args
    declared = ", ".join(f"${name}: {argument.type}" for name, argument in arguments.items())
    given = ", ".join(f"{name}: ${name}" for name in arguments)
    selection = _selection(mutations()[mutation].type, _LEVELS)
    return (
        f"mutation M({declared}) {{ {mutation}({given}) {selection} }}"
        if arguments
        else f"mutation M {{ {mutation} {selection} }}"
    )


async def act(api: Api, mutation: str, token: str | None = None, **arguments: Any) -> Result:
    """Run it; keyword arguments are its arguments."""
    return await api.run(document(mutation), arguments, token=token)


async def user_of(api: Api, token: str) -> Result:
    """Everything that `me` shows."""
    assert SCHEMA.query_type is not None
    return await api.run(f"query Me {{ me {_selection(SCHEMA.query_type.fields['me'].type, _LEVELS)} }}", token=token)


def _selection(type_: GraphQLOutputType, levels: int) -> str:
    named = get_named_type(type_)
    if is_abstract_type(named):
        members = SCHEMA.get_possible_types(named)
        parts = [f"... on {member.name} {{ {' '.join(_fields(member, levels))} }}" for member in members]
        return f"{{ __typename {' '.join(parts)} }}"
    return f"{{ {' '.join(_fields(named, levels))} }}" if isinstance(named, GraphQLObjectType) else ""


def _fields(type_: GraphQLObjectType, levels: int) -> Iterator[str]:
    yield "__typename"
    for name, field in type_.fields.items():
        is_object = isinstance(get_named_type(field.type), GraphQLObjectType)
        if any(map(is_required_argument, field.args.values())) or (is_object and not levels):
            continue
        yield f"{name} {_selection(field.type, levels - 1)}".strip()
