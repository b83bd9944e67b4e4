"""The schema: what clients rely on, that it is described, and that it says what the use cases say."""

import enum
import importlib
import re
import types
import typing
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from graphql import (
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
from graphql_mfa.api import errors
from graphql_mfa.api import types as api_types
from graphql_mfa.api.present import present
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.core.problems import ProblemCode
from graphql_mfa.flows.outcomes import NotAuthenticatedReason
from graphql_mfa.http.schema import build_schema as build_own_schema

EXPORTED = (Path(__file__).parents[2] / "schema.graphql").read_text()
SCHEMA = build_schema(EXPORTED)
OWN_TYPES = [
    type_
    for type_ in SCHEMA.type_map.values()
    if not is_introspection_type(type_) and not is_specified_scalar_type(type_)
]
assert SCHEMA.mutation_type
MUTATIONS = SCHEMA.mutation_type.fields

# What a client that follows the contract does not notice.
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


def test_the_exported_schema_is_the_codes() -> None:
    assert build_own_schema(Settings(bcrypt_rounds=4)).as_str() + "\n" == EXPORTED


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


def test_every_failure_of_an_operation_has_a_message_for_a_person(subtests: pytest.Subtests) -> None:
    for mutation in MUTATIONS:
        with subtests.test(mutation=mutation):
            failures = {member.name for member in _members(mutation) if hasattr(errors, member.name)}
            user_errors = {member.name for member in _members(mutation) if "UserError" in map(str, member.interfaces)}
            assert user_errors == failures != set()


def test_the_apis_enums_are_those_of_the_rules() -> None:
    assert _names(api_types.FactorKind) == _names(FactorKind)
    assert _names(errors.NotAuthenticatedReason) == _names(NotAuthenticatedReason)
    assert _names(errors.FieldErrorCode) >= _names(ProblemCode)


def test_the_members_of_a_result_are_the_outcomes_of_its_use_case(subtests: pytest.Subtests) -> None:
    for mutation in MUTATIONS:
        with subtests.test(mutation=mutation):
            flow_name = re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", mutation)
            flow = getattr(importlib.import_module(f"graphql_mfa.flows.{flow_name}"), flow_name)
            outcomes = typing.get_args(typing.get_type_hints(flow)["return"])
            shown = {type(present(_sample(outcome), datetime.now(UTC))).__name__ for outcome in outcomes}
            assert {member.name for member in _members(mutation)} == shown


def _members(mutation: str) -> Sequence[GraphQLObjectType]:
    union = get_named_type(MUTATIONS[mutation].type)
    assert isinstance(union, GraphQLUnionType)
    members: Sequence[GraphQLObjectType] = union.types
    return members


def _names(values: type[enum.Enum]) -> set[str]:
    return {value.name for value in values}


def _sample(annotation: Any) -> Any:
    """Some value of that type."""
    match annotation:
        case types.UnionType():
            return None
        case types.GenericAlias(__origin__=origin, __args__=(item,)) if origin is list:
            return [_sample(item)]
        case _ if hasattr(annotation, "__dataclass_fields__"):
            return annotation(**{name: _sample(hint) for name, hint in typing.get_type_hints(annotation).items()})
        case _ if issubclass(annotation, enum.Enum):
            return next(iter(annotation))
    return {str: "text", int: 1, bool: True, datetime: datetime.now(UTC), UUID: uuid4()}[annotation]
