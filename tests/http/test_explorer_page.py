"""The explorer: only where it is switched on, only for browsers, and nothing but its own files."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from graphql_mfa.explorer import vendored
from tests.conftest import Connect
from tests.http.requests import JSON, POLICY, demand_headers, demand_refusal, operation, raw

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
ASSETS = ["examples.js", "explorer.js", "explorer.css", *vendored.FILES]


async def test_explorer_page_for_a_browser(run_app: RunApp, connect: Connect) -> None:
    async with run_app(explorer=True) as app:
        response = await connect(app).http.get("/graphql", headers={"Accept": BROWSER})

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.text.startswith("<!doctype html>")
    demand_headers(response)


async def test_explorer_page_is_for_nobody_who_does_not_name_it(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    """A GraphQL client's `*/*` means any answer to an operation."""
    async with run_app(explorer=True) as app:
        for accept in ["*/*", "application/json", "text/*", "text/plain", "application/xhtml+xml", "", "image/*"]:
            with subtests.test(accept=accept):
                response = await connect(app).http.get("/graphql", headers={"Accept": accept})

                demand_refusal(response, 400)


async def test_explorer_page_is_not_for_who_refuses_it(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(explorer=True) as app:
        for accept in ["text/html;q=0", "application/json, text/html;q=0", "text/htmlx", "application/text/html"]:
            with subtests.test(accept=accept):
                response = await connect(app).http.get("/graphql", headers={"Accept": accept})

                demand_refusal(response, 400)


async def test_explorer_page_off_by_default(run_app: RunApp, connect: Connect) -> None:
    async with run_app() as app:
        http = connect(app).http
        page = await http.get("/graphql", headers={"Accept": BROWSER})
        assets = [await http.get(f"/graphql/explorer/{name}") for name in ASSETS]

    demand_refusal(page, 400)
    assert {asset.status_code for asset in assets} == {404}


async def test_explorer_leaves_operations_alone(run_app: RunApp, connect: Connect) -> None:
    """Those of the page itself, and those of clients that name no HTML."""
    async with run_app(explorer=True) as app:
        http = connect(app).http
        get = await http.get("/graphql", params={"query": POLICY}, headers={"Accept": "application/json, */*"})
        post = await http.post("/graphql", content=operation(), headers=JSON | {"Accept": BROWSER})
        link = await http.get("/graphql", params={"query": "mutation { logout { __typename } }"})

    assert get.json() == post.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}
    assert link.status_code == 405


async def test_a_link_with_an_operation_opens_the_explorer_and_nothing_of_it_is_in_the_page(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(explorer=True) as app:
        http = connect(app).http
        page = await http.get("/graphql", headers={"Accept": BROWSER})
        for query in [
            POLICY,
            "mutation { logout { __typename } }",
            '"><script>alert(1)</script>',
            "{",
            "",
            "x" * 9_000,
        ]:
            with subtests.test(query=query[:50]):
                params = {"query": query, "variables": query, "operationName": query}
                response = await http.get("/graphql", params=params, headers={"Accept": BROWSER})

                assert response.status_code == 200
                assert response.headers["Content-Type"] == "text/html; charset=utf-8"
                assert response.content == page.content


async def test_a_link_with_an_operation_runs_it_where_the_explorer_is_off(run_app: RunApp, connect: Connect) -> None:
    async with run_app() as app:
        response = await connect(app).http.get("/graphql", params={"query": POLICY}, headers={"Accept": BROWSER})

    assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}


async def test_explorer_page_lets_nothing_else_in(run_app: RunApp, connect: Connect) -> None:
    """Its Content-Security-Policy: own scripts only, no frames, no forms, no other host."""
    async with run_app(explorer=True) as app:
        response = await connect(app).http.get("/graphql", headers={"Accept": BROWSER})

    policy = {
        name: values.split()
        for name, _, values in (
            part.strip().partition(" ") for part in response.headers["Content-Security-Policy"].split(";")
        )
    }
    assert policy["default-src"] == ["'self'"]
    assert policy["frame-ancestors"] == ["'none'"]
    assert policy["base-uri"] == ["'none'"]
    assert policy["form-action"] == ["'none'"]
    assert policy["object-src"] == ["'none'"]
    assert policy["connect-src"] == ["'self'"]
    assert policy.get("script-src", ["'self'"]) == ["'self'"]
    assert {"http:", "https:", "*", "'unsafe-eval'"}.isdisjoint(
        {value for values in policy.values() for value in values}
    )
    assert re.findall(r"<script(?![^>]* src=)", response.text) == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//', response.text) == []
    assert re.findall(r"\son\w+=", response.text) == []


async def test_explorer_page_does_not_believe_the_host(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(explorer=True) as app:
        for host in ["evil.example", "[", "a b", '"><script>alert(1)</script>', "x:99999", ""]:
            with subtests.test(host=host):
                http = connect(app).http
                response = await http.get("/graphql", headers={"Accept": BROWSER, "Host": host})
                honest = await http.get("/graphql", headers={"Accept": BROWSER})

                assert response.status_code == 200
                assert response.text == honest.text


async def test_explorer_asset(run_app: RunApp, connect: Connect, subtests: pytest.Subtests) -> None:
    async with run_app(explorer=True) as app:
        for name in ASSETS:
            with subtests.test(name=name):
                http = connect(app).http
                response = await http.get(f"/graphql/explorer/{name}")
                page = await http.get("/graphql", headers={"Accept": BROWSER})

                assert response.status_code == 200
                assert response.content
                assert response.headers["Content-Type"].split(";")[0] == (
                    "text/css" if name.endswith(".css") else "text/javascript"
                )
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert f'"/graphql/explorer/{name}"' in page.text


TRAVERSALS = [
    "",
    ".",
    "..",
    "../settings.py",
    "../../settings.py",
    "..%2fsettings.py",
    "%2e%2e/settings.py",
    "%2e%2e%2f%2e%2e%2fsettings.py",
    "..%5csettings.py",
    "....//settings.py",
    "%252e%252e%252fsettings.py",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "vendor/graphiql.min.js",
    "vendor%2fgraphiql.min.js",
    "page.html",
    "__init__.py",
    "vendored.py",
    "verify.py",
    "LICENSES.md",
    "explorer.js%00",
    "explorer.js%00.css",
    "explorer.js/",
    "explorer.js%2f..",
    "EXPLORER.JS",
    "explorer.js.map",
    "explorer.js;x",
    "graphql_mfa.db",
    "graphql_mfa.db.key",
    "x" * 9_000,
]


async def test_explorer_asset_path_traversal(live_server: str, subtests: pytest.Subtests) -> None:
    """Sent as it is: a client library would tidy it up."""
    for name in TRAVERSALS:
        with subtests.test(name=name):
            request = f"GET /graphql/explorer/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

            head, _ = await raw(live_server, request.encode())

            assert head.startswith(b"HTTP/1.1 404 ")


async def test_explorer_asset_is_read_only(run_app: RunApp, connect: Connect, subtests: pytest.Subtests) -> None:
    async with run_app(explorer=True) as app:
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]:
            with subtests.test(method=method):
                response = await connect(app).http.request(method, "/graphql/explorer/explorer.js")

                assert response.status_code == 405
