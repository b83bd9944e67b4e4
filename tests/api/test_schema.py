"""The schema: guarantees for clients, descriptions, and agreement with the use cases."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
    get_named_type,
    is_introspection_type,
    is_specified_scalar_type,
)
from graphql.utilities.find_schema_changes import find_schema_changes

from graphql_mfa import Settings
from graphql_mfa.api.mutation import secret_marks
from graphql_mfa.http.schema import Schema

EXPORTED = (Path(__file__).parents[2] / "schema.graphql").read_text()
SCHEMA = build_schema(EXPORTED)
OWN_TYPES = [
    type_
    for type_ in SCHEMA.type_map.values()
    if not is_introspection_type(type_) and not is_specified_scalar_type(type_)
]
assert SCHEMA.mutation_type
MUTATIONS = SCHEMA.mutation_type.fields

# Changes that a client that follows the contract does not notice.
HARMLESS = {
    "TYPE_ADDED",
    "FIELD_ADDED",
    "TYPE_ADDED_TO_UNION",
    "VALUE_ADDED_TO_ENUM",
    "IMPLEMENTED_INTERFACE_ADDED",
    "OPTIONAL_ARG_ADDED",
    "OPTIONAL_INPUT_FIELD_ADDED",
    "DESCRIPTION_CHANGED",
}


def test_the_exported_schema_matches_the_code() -> None:
    assert Schema(Settings(bcrypt_rounds=4)).as_str() + "\n" == EXPORTED


def test_the_schema_keeps_what_clients_rely_on() -> None:
    contract = build_schema(Path(__file__).with_name("contract.graphql").read_text())
    changes = find_schema_changes(contract, SCHEMA)
    assert [change.description for change in changes if change.type.name not in HARMLESS] == []


def test_everything_in_the_schema_is_described(subtests: pytest.Subtests) -> None:
    for type_ in OWN_TYPES:
        with subtests.test(type_.name):
            undescribed = [name for name, description in _descriptions(type_) if not description]
            assert undescribed == []


def _descriptions(type_: GraphQLNamedType) -> Iterator[tuple[str, str | None]]:
    """Of the type, its fields, their arguments and its values."""
    yield type_.name, type_.description
    for name, element in (getattr(type_, "fields", {}) | getattr(type_, "values", {})).items():
        yield f"{type_.name}.{name}", element.description
        for argument_name, argument in getattr(element, "args", {}).items():
            yield f"{type_.name}.{name}({argument_name}:)", argument.description


def test_every_failure_of_an_operation_has_a_message_for_users(subtests: pytest.Subtests) -> None:
    for mutation in MUTATIONS:
        with subtests.test(mutation=mutation):
            failures = {member.name for member in _members(mutation) if "message" in member.fields}
            user_errors = {member.name for member in _members(mutation) if "UserError" in map(str, member.interfaces)}
            assert user_errors == failures != set()


def test_every_mutation_with_an_argument_like_a_secret_says_whether_it_can_be_guessed() -> None:
    secret = re.compile("otp|code|password|token|credential", re.IGNORECASE)
    taking = {name for name, field in MUTATIONS.items() if any(map(secret.search, _argument_names(field)))}
    schema = Schema(Settings(bcrypt_rounds=4))
    assert secret_marks(schema._schema).keys() == taking != set()


def test_a_secret_in_an_input_of_an_input_is_an_argument() -> None:
    nested = build_schema(
        "type Query { try(outer: [Outer!]!): Int } input Outer { inner: Inner! } input Inner { otp: String }"
    )
    assert nested.query_type
    assert list(_argument_names(nested.query_type.fields["try"])) == ["outer", "inner", "otp"]


def test_every_mutation_that_needs_a_recent_factor_says_so() -> None:
    describing = {name for name, field in MUTATIONS.items() if "see `reauthenticate`" in (field.description or "")}
    demanding = {name for name in MUTATIONS if "ReauthenticationRequired" in map(str, _members(name))}
    assert describing == demanding != set()


def _argument_names(field: GraphQLField) -> Iterator[str]:
    """Names of the arguments and of the fields of the inputs, nested ones included."""
    left = [*field.args.items()]
    while left:
        name, argument = left.pop()
        yield name
        left += getattr(get_named_type(argument.type), "fields", {}).items()


def _members(mutation: str) -> Sequence[GraphQLObjectType]:
    union = get_named_type(MUTATIONS[mutation].type)
    assert isinstance(union, GraphQLUnionType)
    members: Sequence[GraphQLObjectType] = union.types
    return members
