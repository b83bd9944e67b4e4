"""Attack: put another user's id where one's own is asked for. Which arguments take an id is read from the schema."""

from collections import Counter
from collections.abc import Iterator

import pytest
from graphql import GraphQLInputObjectType, GraphQLInputType, GraphQLObjectType, get_named_type

from tests.account import SCHEMA, act, mutations, user_of
from tests.api_client import Api, Result
from tests.security.test_stale_session import some_arguments
from tests.statements import statements

UNKNOWN = "11111111-1111-4111-8111-111111111111"
# Ids that are points in time: they are looked up nowhere.
POINTS_IN_TIME = {"User.securityEvents(before:)"}


def _takes_id(type_: GraphQLInputType) -> bool:
    named = get_named_type(type_)
    if isinstance(named, GraphQLInputObjectType):
        return any(_takes_id(field.type) for field in named.fields.values())
    return named.name == "ID"


TAKING_IDS = [
    name for name, field in mutations().items() if any(_takes_id(argument.type) for argument in field.args.values())
]


def _with_id(mutation: str, id_: str) -> dict[str, object]:
    """The arguments of the mutation, with this id for every id."""

    def replace(value: object, type_: GraphQLInputType) -> object:
        named = get_named_type(type_)
        if isinstance(named, GraphQLInputObjectType) and isinstance(value, dict):
            return {name: replace(inner, named.fields[name].type) for name, inner in value.items()}
        return id_ if named.name == "ID" else value

    arguments = mutations()[mutation].args
    return {name: replace(value, arguments[name].type) for name, value in some_arguments(mutation).items()}


def _ids_in(value: object) -> Iterator[str]:
    """Every id that is shown to the user."""
    if isinstance(value, dict):
        if isinstance(value.get("id"), str):
            yield value["id"]
        for inner in value.values():
            yield from _ids_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _ids_in(inner)


def test_every_id_that_a_field_takes_is_accounted_for() -> None:
    fields = {
        f"{type_.name}.{name}({argument}:)"
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType) and type_ is not SCHEMA.mutation_type
        for name, field in type_.fields.items()
        for argument in field.args
        if _takes_id(field.args[argument].type) and not type_.name.startswith("__")
    }
    assert fields == POINTS_IN_TIME
    assert "revokeSession" in TAKING_IDS


async def _cost(api: Api, mutation: str, token: str, id_: str) -> tuple[Result, Counter[str]]:
    with statements() as seen:
        answer = await act(api, mutation, token, **_with_id(mutation, id_))
    return answer, Counter(seen)


@pytest.mark.parametrize("mutation", TAKING_IDS)
async def test_id_of_another_user_is_treated_as_unknown(api: Api, mutation: str) -> None:
    """The same answer by the same statements, so that timing does not reveal whether the id exists."""
    alice, mallory = await api.member("alice"), await api.member("mallory")
    before = await user_of(api, alice.access_token)
    ids = set(_ids_in(before))
    assert len(ids) >= 5  # the account's, its session's and its events'
    expected = await _cost(api, mutation, mallory.access_token, UNKNOWN)
    assert expected[0]["__typename"] == "NotFound"
    for id_ in [*ids, "nonsense", "", UNKNOWN.replace("-", "")]:
        assert await _cost(api, mutation, mallory.access_token, id_) == expected
    assert await user_of(api, alice.access_token) == before


async def test_id_of_another_users_event_is_only_a_timestamp(api: Api) -> None:
    """It lists the caller's own events before that time, and none of the other user."""
    first, alice, last = [await api.member(name) for name in ("first", "alice", "last")]
    registered = (await user_of(api, alice.access_token))["securityEvents"][-1]["id"]
    query = "query Events($before: ID) { me { securityEvents(before: $before) { id } } }"
    shown = {}
    for member in (first, alice, last):
        own = await api.run(query, token=member.access_token)
        earlier = await api.run(query, {"before": registered}, token=member.access_token)
        shown[member.username] = (len(own["securityEvents"]), len(earlier["securityEvents"]))
        assert all(event in own["securityEvents"] for event in earlier["securityEvents"])
    assert shown["first"] == (3, 3)
    assert shown["last"] == (3, 0)
