"""Introspection that is off: neither queries nor suggestions reveal the schema."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import strawberry
from fastapi import FastAPI
from graphql import get_introspection_query

from graphql_mfa import Settings
from graphql_mfa.api.root import Query
from graphql_mfa.core.accounts import FactorKind
from graphql_mfa.mfa import GraphQLMFA
from tests.api_client import LOGIN, Api
from tests.conftest import Connect
from tests.http.requests import POLICY, assert_headers, messages, operation, post

Serving = Callable[..., Any]


@strawberry.type(name="Query")
class HostQuery(Query):
    """A query with an enum argument, which this API does not have."""

    @strawberry.field
    def echo(self, factor: FactorKind) -> FactorKind:
        return factor


@pytest.fixture
def serving(make_settings: Callable[..., Settings], connect: Connect) -> Serving:
    """A client of an application with that query: `async with serving(introspection=False) as api`."""

    @asynccontextmanager
    async def serving(**overrides: Any) -> AsyncIterator[Api]:
        mfa = GraphQLMFA(make_settings(**overrides), query=HostQuery)
        app = FastAPI()
        app.include_router(mfa.router())
        async with mfa.lifespan():
            yield connect(app)

    return serving


@pytest.fixture
async def closed(serving: Serving) -> AsyncIterator[Api]:
    async with serving(introspection=False) as api:
        yield api


@pytest.fixture
async def opened(serving: Serving) -> AsyncIterator[Api]:
    async with serving() as api:
        yield api


# ----------------------------------------------------------------------------------------------------- introspection

LOOKS = [
    get_introspection_query(),
    "{ __schema { types { name } } }",
    '{ __type(name: "User") { name } }',
    "{ a: __schema { __typename } }",
    "{ __typename __schema { queryType { name } } }",
    "{ ... on Query { __schema { queryType { name } } } }",
    "{ ...F } fragment F on Query { __schema { queryType { name } } }",
    "query ($no: Boolean = false) { __schema @include(if: $no) { queryType { name } } }",
    "{ __schema { ...F } } fragment F on __Schema { types { fields { name } } }",
    "query A { policy { issuer } } query B { __schema { queryType { name } } }",
]


@pytest.mark.parametrize("query", LOOKS, ids=lambda query: query[:60])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_disabled_introspection_is_refused(closed: Api, method: str, query: str) -> None:
    if method == "GET":
        response = await closed.http.get("/graphql", params={"query": query, "operationName": ""})
    else:
        response = await post(closed, operation(query))
    assert response.status_code == 200
    assert any("introspection has been disabled" in message for message in messages(response))
    assert_headers(response)


async def test_refused_introspection_has_status_400_in_the_newer_media_type(closed: Api) -> None:
    headers = {"Accept": "application/graphql-response+json"}
    response = await closed.http.post("/graphql", json={"query": LOOKS[1]}, headers=headers)
    assert response.status_code == 400


async def test_a_document_with_refused_introspection_runs_nothing(closed: Api) -> None:
    response = await post(closed, operation(LOOKS[-1], operationName="A"))
    assert "introspection has been disabled" in messages(response)[0]


@pytest.mark.parametrize("introspection", [True, False])
async def test_typename_is_always_allowed(serving: Serving, introspection: bool) -> None:
    """Clients need `__typename` to distinguish outcomes."""
    async with serving(introspection=introspection) as api:
        response = await post(api, operation("{ __typename policy { __typename } }"))
        failed = await api.login("nobody")
    assert response.json() == {"data": {"__typename": "Query", "policy": {"__typename": "AuthPolicy"}}}
    assert failed["__typename"] == "InvalidCredentials"


@pytest.mark.parametrize("query", LOOKS[1:-1], ids=lambda query: query[:60])
async def test_enabled_introspection_returns_the_schema(opened: Api, query: str) -> None:
    response = await post(opened, operation(query))
    assert "errors" not in response.json()


MIXED = [
    "{ policy { issuer } __schema { queryType { name } } }",
    "{ __schema { queryType { name } } ...F } fragment F on Query { ... { me { id } } }",
    'query A { __typename } query B { me { id } __type(name: "User") { name } }',
]


@pytest.mark.parametrize("query", MIXED)
async def test_introspection_beside_other_root_fields_is_refused(opened: Api, closed: Api, query: str) -> None:
    """Its result is cached, so it must not contain anything of an account."""
    assert "an operation of its own" in messages(await post(opened, operation(query)))[0]
    assert any(
        "introspection has been disabled" in message for message in messages(await post(closed, operation(query)))
    )


# ------------------------------------------------------------------------------------------------------- suggestions

# A document with a name that is nearly right, and the name that a suggestion would reveal.
GUESSES = {
    "field": ("{ polcy { issuer } }", "policy"),
    "field of a type": ("{ policy { isuer } }", "issuer"),
    "field of a union's member": (
        'mutation { login(input: {username: "a", password: "b"}) { message } }',
        "InvalidCredentials",
    ),
    "field of an interface's member": (
        'mutation { verifyOtp(input: {challengeToken: "a", otp: "b"}) { ... on SignInSuccess { recoveryCodes } } }',
        "EnrollmentConfirmed",
    ),
    "argument": ("mutation { logout(everywher: true) { __typename } }", "everywhere"),
    "argument of a directive": ("{ policy @include(iff: true) { issuer } }", "if"),
    "type of a fragment": ("{ policy { ... on AuthPolcy { issuer } } }", "AuthPolicy"),
    "type of a variable": ("query ($input: LoginInpt) { policy { issuer } }", "LoginInput"),
    "enum value": ("{ echo(factor: TOPT) }", "TOTP"),
    "enum value in quotes": ('{ echo(factor: "TOTP") }', "TOTP"),
    "input field": (
        'mutation { login(input: {usernam: "a", username: "a", password: "b"}) { __typename } }',
        "username",
    ),
}
# Suggestions that are omitted even with introspection, since the message has the value beside them.
NEVER_TOLD = {"enum value", "enum value in quotes", "input field"}


async def guess(api: Api, case: str) -> httpx.Response:
    query, _ = GUESSES[case]
    response = await post(api, operation(query))
    assert messages(response)
    return response


@pytest.mark.parametrize("case", GUESSES)
async def test_without_introspection_errors_suggest_no_names(closed: Api, case: str) -> None:
    _, name = GUESSES[case]
    shown = " ".join(messages(await guess(closed, case)))
    assert "Did you mean" not in shown
    assert f"'{name}'" not in shown


@pytest.mark.parametrize("case", sorted(GUESSES.keys() - NEVER_TOLD))
async def test_with_introspection_errors_suggest_names(opened: Api, case: str) -> None:
    _, name = GUESSES[case]
    shown = " ".join(messages(await guess(opened, case)))
    assert "Did you mean" in shown
    assert name in shown.partition("Did you mean")[2]


@pytest.mark.parametrize("introspection", [True, False])
@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (LOGIN, {"input": {"username": "a", "password": "b", "usernam": "c"}}),
        (LOGIN, {"input": {"usernam": "a", "password": "b"}}),
        ("query ($factor: FactorKind!) { echo(factor: $factor) }", {"factor": "TOPT"}),
        ("query ($factor: FactorKind!) { echo(factor: $factor) }", {"factor": 5}),
    ],
)
async def test_an_error_about_a_variable_has_no_suggestion(
    serving: Serving, introspection: bool, query: str, variables: dict[str, Any]
) -> None:
    """The library puts it behind the value, which may be a secret."""
    async with serving(introspection=introspection) as api:
        response = await api.send(query, variables)
    for message in messages(response):
        assert message.startswith("Variable '$")
        assert "Did you mean" not in message
        assert "TOTP" not in message


@pytest.mark.parametrize("introspection", [True, False])
async def test_valid_documents_run_with_introspection_on_or_off(serving: Serving, introspection: bool) -> None:
    async with serving(introspection=introspection) as api:
        assert (await post(api, operation(POLICY))).json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}
