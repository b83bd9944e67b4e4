"""Every error has a code, so that clients need not compare messages."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from graphql import get_introspection_query

from graphql_mfa.http.public_errors import ErrorCode
from graphql_mfa.services import Services
from graphql_mfa.store.outages import UnavailableError
from tests.api_client import LOGIN, Api
from tests.conftest import Connect
from tests.http.requests import JSON, POLICY, operation, post

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "clients.md"

REQUESTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "BAD_REQUEST": [
        ("POST", {"content": b"{", "headers": JSON}),
        ("POST", {"content": b"[]", "headers": JSON}),
        ("POST", {"content": b"{}", "headers": JSON}),
        ("POST", {"content": operation(), "headers": {"Content-Type": "text/plain"}}),
        ("POST", {"content": operation(variables=[]), "headers": JSON}),
        ("POST", {"content": b" " * 70_000, "headers": JSON}),
        ("GET", {}),
        ("GET", {"params": {"query": "mutation { logout { __typename } }"}}),
        ("PUT", {"content": operation(), "headers": JSON}),
        ("POST", {"content": operation("subscription { me { id } }"), "headers": JSON}),
    ],
    "PERSISTED_QUERY_NOT_SUPPORTED": [
        ("POST", {"json": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "00"}}}}),
    ],
    "GRAPHQL_PARSE_FAILED": [
        ("POST", {"json": {"query": query}})
        for query in ("{", "{ me(: ) }", "#" * 15_000, "{ policy { " + "issuer " * 1_000 + "} }")
    ],
    "GRAPHQL_VALIDATION_FAILED": [
        ("POST", {"json": {"query": query}})
        for query in (
            "{ nothing }",
            "{ policy }",
            "query ($a: Int) { policy { issuer } }",
            "{ policy { issuer(a: 1) } }",
            'mutation { login(input: {username: 5, password: ""}) { __typename } }',
            "{ a " * 50 + "}" * 50,
            "{ " + "".join(f"a{number}: policy {{ issuer }} " for number in range(40)) + "}",
            "{ policy { " + "issuer " * 300 + "} }",
            "mutation { a: refreshSession { __typename } b: refreshSession { __typename } }",
        )
    ],
    "OPERATION_RESOLUTION_FAILURE": [
        ("POST", {"json": {"query": f"query A {POLICY} query B {POLICY}"}}),
        ("POST", {"json": {"query": f"query A {POLICY}", "operationName": "B"}}),
        ("POST", {"json": {"query": "fragment F on Query { me { id } }"}}),
    ],
    "BAD_USER_INPUT": [
        ("POST", {"json": {"query": LOGIN}}),
        ("POST", {"json": {"query": LOGIN, "variables": {"input": {"username": 5, "password": "x"}}}}),
        ("POST", {"json": {"query": LOGIN, "variables": {"input": {"username": "x", "password": "x", "more": 1}}}}),
        (
            "POST",
            {
                "json": {
                    "query": "mutation ($all: Boolean) { logout(everywhere: $all) { __typename } }",
                    "variables": {"all": None},
                }
            },
        ),
    ],
}


def codes(response: httpx.Response) -> set[object]:
    errors = response.json()["errors"]
    assert errors
    return {error["extensions"]["code"] for error in errors}


async def test_a_refused_request_has_the_code_of_its_kind(api: Api, subtests: pytest.Subtests) -> None:
    for code, requests in REQUESTS.items():
        for method, request in requests:
            with subtests.test(code=code, request=str(request)[:100]):
                assert codes(await api.http.request(method, "/graphql", **request)) == {code}


async def test_an_argument_that_a_field_refuses_has_the_code_of_wrong_values(api: Api) -> None:
    member = await api.member()
    headers = JSON | {"Authorization": f"Bearer {member.access_token}"}
    for arguments in ("first: 0", 'before: "x"'):
        query = f"{{ me {{ securityEvents({arguments}) {{ id }} }} }}"
        assert codes(await post(api, operation(query), headers)) == {"BAD_USER_INPUT"}


async def test_hidden_introspection_and_a_foreign_origin_have_codes(run_app: RunApp, connect: Connect) -> None:
    async with run_app(introspection=False, session_transport="cookie") as app:
        api = connect(app)
        without_header = await post(api, operation())
        own_script = JSON | {"GraphQL-Require-Preflight": "1"}
        foreign = await post(api, operation(), own_script | {"Origin": "https://evil.example"})
        hidden = await post(api, operation(get_introspection_query()), own_script)

    assert codes(without_header) == codes(foreign) == {"FORBIDDEN"}
    assert codes(hidden) == {"GRAPHQL_VALIDATION_FAILED"}


async def test_with_trusted_documents_a_hash_that_is_unknown_or_missing_has_a_code(
    run_app: RunApp, connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / "documents.json").write_text(json.dumps({"known": POLICY}))
    async with run_app(trusted_documents=tmp_path / "documents.json") as app:
        api = connect(app)
        assert codes(await api.http.post("/graphql", json={"documentId": "x"})) == {"PERSISTED_QUERY_NOT_FOUND"}
        assert codes(await api.http.post("/graphql", json={"query": POLICY})) == {"PERSISTED_QUERY_ID_REQUIRED"}


async def test_a_fault_of_the_server_has_a_code(api: Api, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise UnavailableError("connection refused")

    member = await api.member()
    monkeypatch.setattr(services.database, "read", refuse)
    headers = JSON | {"Authorization": f"Bearer {member.access_token}"}
    in_a_resolver = await post(api, operation("{ me { totpDevices { id } } }"), headers)
    monkeypatch.setattr("graphql_mfa.http.router.read_operation", refuse)
    outside = await post(api, operation())

    assert codes(in_a_resolver) == codes(outside) == {"INTERNAL_SERVER_ERROR"}


def test_every_code_is_in_the_documentation() -> None:
    chapter = DOCUMENTATION.read_text().partition("\n## Errors")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", chapter, re.MULTILINE)) == {*ErrorCode}
