"""Which operation of a document runs, and introspection."""

import itertools
import json

import pytest
from graphql import build_client_schema, get_introspection_query, graphql_sync, print_schema

from graphql_mfa.http.schema import Schema
from graphql_mfa.services import Services
from tests.api_client import PASSWORD, Api
from tests.http.requests import POLICY, assert_headers, assert_refusal, messages, operation, post
from tests.security.attacks import scalar

TWO = "query A { policy { issuer } } query B { policy { otpDigits } }"


async def test_one_operation_needs_no_name(api: Api) -> None:
    for query in (POLICY, f"query {POLICY}", f"query A {POLICY}"):
        response = await post(api, operation(query))
        assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}


async def test_named_operation_runs(api: Api) -> None:
    answers = [(await post(api, operation(TWO, operationName=name))).json() for name in ("A", "B")]

    assert answers == [{"data": {"policy": {"issuer": "GraphQL MFA"}}}, {"data": {"policy": {"otpDigits": 6}}}]


async def test_several_operations_without_a_name(api: Api) -> None:
    """Strawberry would run the first; the specification requires an error (6.1)."""
    response = await post(api, operation(TWO))

    (message,) = messages(response)
    assert "operationName" in message
    assert_headers(response)


async def test_several_mutations_without_a_name_run_none(api: Api, services: Services) -> None:
    mutation = f'registerUser(input: {{username: "alice", password: "{PASSWORD}"}}) {{ __typename }}'

    response = await post(api, operation(f"mutation A {{ {mutation} }} query B {{ me {{ id }} }}"))

    assert set(response.json()) == {"errors"}
    assert await scalar(services, "SELECT count(*) FROM mfa_users") == 0


async def test_unknown_operation_name(api: Api, subtests: pytest.Subtests) -> None:
    for name, query in itertools.product(
        ["Unknown", "a", "A ", "__typename", "", "A\0", "'", "x" * 9_000], [POLICY, TWO, f"query A {POLICY}"]
    ):
        with subtests.test(name=name, query=query):
            response = await post(api, operation(query, operationName=name))

            assert_refusal(response, 400)
            assert name not in messages(response)[0] or name in {"", "a"}


async def test_document_without_an_operation(api: Api, subtests: pytest.Subtests) -> None:
    for query in [
        "fragment F on Query { me { id } }",
        "type T { a: Int }",
        "schema { query: Q }",
        '"text" scalar S',
        "extend type Query { a: Int }",
    ]:
        with subtests.test(query=query):
            assert_refusal(await post(api, operation(query)), 400)


async def test_subscription(api: Api, subtests: pytest.Subtests) -> None:
    for query in ["subscription { me { id } }", "subscription S { x }"]:
        with subtests.test(query=query):
            assert_refusal(await post(api, operation(query)), 400)
            assert_refusal(await api.http.get("/graphql", params={"query": query}), 400)


async def test_document_that_is_not_graphql(api: Api, subtests: pytest.Subtests) -> None:
    for query in ["#", ",", "\ufeff", '"""', "{", "}", "query", "\u0000", "{ me(: ) }"]:
        with subtests.test(query=query):
            response = await post(api, operation(query))

            assert response.status_code == 200
            assert all(message.startswith("Syntax Error") for message in messages(response))


async def test_directive_of_another_server(api: Api, subtests: pytest.Subtests) -> None:
    """No answer in several parts, which limits would not see."""
    for directive in ["@defer", "@stream", '@defer(label: "x")', "@live", "@oneOf", "@deprecated"]:
        with subtests.test(directive=directive):
            response = await post(api, operation(f"{{ policy {{ ... {directive} {{ issuer }} factors }} }}"))

            assert messages(response)
            assert response.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
async def test_a_persisted_query_hash_is_answered_with_not_supported(api: Api, accept: str) -> None:
    """Apollo Client for iOS reads only answers of status 200, which the newer media type has not without data."""
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": "00"}}
    headers = {"Accept": accept}
    sent = await api.http.post("/graphql", json={"extensions": persisted, "query": None}, headers=headers)
    blank = await api.http.post("/graphql", json={"extensions": persisted, "query": ""}, headers=headers)
    linked = await api.http.get("/graphql", params={"extensions": json.dumps(persisted)}, headers=headers)

    for response in (sent, blank, linked):
        assert_refusal(response, 200)
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert messages(response) == ["PersistedQueryNotSupported"]


async def test_a_malformed_hash_without_a_document_is_a_bad_request(api: Api, subtests: pytest.Subtests) -> None:
    odd: list[object] = [None, {}, [], "00", {"sha256Hash": 5}, {"sha256Hash": ["00"]}, {"sha256Hash": ""}]
    for persisted in odd:
        with subtests.test(persisted=persisted):
            response = await api.http.post("/graphql", json={"extensions": {"persistedQuery": persisted}})
            assert_refusal(response, 400)


async def test_introspection_returns_the_schema(api: Api, services: Services) -> None:
    """The query that tools send is within the limits, and returns the schema that is served."""
    query = get_introspection_query(specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True)

    response = await post(api, operation(query))

    assert response.json() == {"data": graphql_sync(Schema(services.settings)._schema, query).data}
    assert "verifyOtp" in print_schema(build_client_schema(response.json()["data"]))


async def test_introspection_of_one_type(api: Api) -> None:
    response = await post(api, operation('{ __type(name: "TokenPair") { name fields { name } } __typename }'))

    assert response.json()["data"]["__type"]["name"] == "TokenPair"
    assert response.json()["data"]["__typename"] == "Query"
