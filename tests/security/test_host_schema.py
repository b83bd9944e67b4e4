"""Attack: bypass the limits through a host's schema that contains ours."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import strawberry
from fastapi import FastAPI
from graphql import get_introspection_query
from strawberry.extensions import DisableIntrospection, MaxAliasesLimiter, QueryDepthLimiter, SchemaExtension

import graphql_mfa
from graphql_mfa import GraphQLMFA, Settings
from tests.api_client import PASSWORD, Api
from tests.clock import Clock
from tests.http.requests import messages

LOGIN = f'login(input: {{username: "alice", password: "{PASSWORD}"}}) {{ __typename }}'

Host = Callable[..., GraphQLMFA]


@strawberry.type
class Namespaces(graphql_mfa.Mutation):
    @strawberry.mutation
    async def auth(self) -> graphql_mfa.Mutation:
        return graphql_mfa.Mutation()


@strawberry.type
class Namespace:
    """A root that doesn't inherit the mutations."""

    @strawberry.mutation
    async def auth(self) -> graphql_mfa.Mutation:
        return graphql_mfa.Mutation()


@asynccontextmanager
async def running(mfa: GraphQLMFA, clock: Clock) -> AsyncIterator[Api]:
    app = FastAPI()
    app.include_router(mfa.router())
    async with mfa.lifespan():
        transport = httpx.ASGITransport(app, client=("10.0.0.1", 1))
        yield Api(httpx.AsyncClient(transport=transport, base_url="http://testserver"), clock)


@pytest.mark.parametrize(
    ("root", "selections"),
    [
        (Namespaces, f"auth {{ a: {LOGIN} b: {LOGIN} }}"),
        (Namespaces, f"a: auth {{ {LOGIN} }} b: auth {{ {LOGIN} }}"),
        (Namespaces, f"auth {{ {LOGIN} }} {LOGIN}"),
        (Namespaces, f"auth {{ ...on Mutation {{ a: {LOGIN} }} auth {{ b: {LOGIN} }} }}"),
        (Namespace, f"auth {{ a: {LOGIN} b: {LOGIN} }}"),
        (Namespace, f"a: auth {{ {LOGIN} }} b: auth {{ {LOGIN} }}"),
    ],
    ids=["in one", "in two", "inside and beside", "nested", "in one, and nowhere else", "in two, and nowhere else"],
)
async def test_many_guesses_under_a_nested_field_of_the_host(
    make_settings: Callable[..., Settings], clock: Clock, root: type, selections: str
) -> None:
    mfa = GraphQLMFA(make_settings(), clock=clock, mutation=root)
    async with running(mfa, clock) as api:
        refused = messages(await api.send(f"mutation {{ {selections} }}"))
        allowed = (await api.send(f"mutation {{ auth {{ {LOGIN} }} }}")).json()

    assert any("At most one" in message for message in refused)
    assert allowed["data"] == {"auth": {"login": {"__typename": "InvalidCredentials"}}}


@strawberry.type
class Wrapper:
    @strawberry.field
    async def inner(self) -> list[graphql_mfa.Mutation | None]:
        return []


@strawberry.type
class Leading(graphql_mfa.Query):
    @strawberry.field
    async def wrapper(self) -> Wrapper:
        return Wrapper()


@pytest.mark.parametrize("root", [graphql_mfa.Mutation, Namespaces, Namespace])
def test_mutation_reachable_from_a_query_of_the_host(make_settings: Callable[..., Settings], root: type) -> None:
    """It would run by GET: by a link, from any site."""
    with pytest.raises(ValueError, match="A query exposes the mutations, through the type Mutation"):
        GraphQLMFA(make_settings(), query=Leading, mutation=root)


@pytest.mark.parametrize(
    "document",
    [
        "{ __schema { types { fields { type { fields { name } } } } } }",
        "{ __schema { types { ...F } } } fragment F on __Type { fields { type { ...G } } } "
        "fragment G on __Type { possibleTypes { name } }",
        '{ __type(name: "Query") { interfaces { possibleTypes { name } } } }',
    ],
)
async def test_introspection_that_multiplies(api: Api, document: str) -> None:
    """Some hundred characters would ask a schema of a hundred types for megabytes."""
    assert any("Introspection is limited" in message for message in messages(await api.send(document)))


async def test_introspection_query_of_common_tools(api: Api) -> None:
    everything = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    assert "errors" not in (await api.send(everything)).json()


@pytest.mark.parametrize(
    ("extension", "document"),
    [
        (DisableIntrospection, "{ __schema { queryType { name } } }"),
        (lambda: QueryDepthLimiter(0), "{ policy { issuer } }"),
        (lambda: MaxAliasesLimiter(1), "{ policy { a: issuer b: issuer } }"),
    ],
    ids=["introspection", "depth", "aliases"],
)
async def test_document_refused_by_an_extension_of_the_host(
    make_settings: Callable[..., Settings],
    clock: Clock,
    extension: Callable[[], SchemaExtension],
    document: str,
) -> None:
    """The document runs without the extension, and is refused with it, the first time and each later time."""
    async with running(GraphQLMFA(make_settings(), clock=clock), clock) as api:
        assert "errors" not in (await api.send(document)).json()
    async with running(GraphQLMFA(make_settings(), clock=clock, extensions=[extension]), clock) as api:
        for _ in range(2):
            errors = (await api.send(document)).json()["errors"]
            assert {error["extensions"]["code"] for error in errors} == {"GRAPHQL_VALIDATION_FAILED"}
