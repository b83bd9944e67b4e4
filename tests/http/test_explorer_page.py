"""The explorer: only where it is on, only for browsers, and only its own files."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from tests import vendored
from tests.api_client import Api
from tests.conftest import Connect
from tests.http.requests import JSON, POLICY, assert_headers, assert_refusal, operation, raw

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
ASSETS = ["examples.js", "explorer.js", "explorer.css", *vendored.FILES]


async def test_explorer_page_for_a_browser(run_app: RunApp, connect: Connect) -> None:
    async with run_app(explorer=True) as app:
        response = await connect(app).http.get("/graphql", headers={"Accept": BROWSER})

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.text.startswith("<!doctype html>")
    assert_headers(response)


async def test_explorer_page_is_only_sent_to_clients_that_accept_html(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    """A GraphQL client may send `*/*`."""
    async with run_app(explorer=True) as app:
        for accept in ["*/*", "application/json", "text/*", "text/plain", "application/xhtml+xml", "", "image/*"]:
            with subtests.test(accept=accept):
                response = await connect(app).http.get("/graphql", headers={"Accept": accept})

                assert_refusal(response, 400)


async def test_explorer_page_is_not_sent_to_clients_that_refuse_html(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(explorer=True) as app:
        for accept in ["text/html;q=0", "application/json, text/html;q=0", "text/htmlx", "application/text/html"]:
            with subtests.test(accept=accept):
                response = await connect(app).http.get("/graphql", headers={"Accept": accept})

                assert_refusal(response, 400)


async def test_explorer_page_off_by_default(run_app: RunApp, connect: Connect) -> None:
    """On the same machine too: a proxy there is a loopback client, and may name the server's own address as Host."""
    async with run_app() as app:
        http = connect(app, "127.0.0.1").http
        http.headers["Host"] = "127.0.0.1:8000"
        page = await http.get("/graphql", headers={"Accept": BROWSER})
        assets = [await http.get(f"/graphql/explorer/{name}") for name in ASSETS]

    assert_refusal(page, 400)
    assert {asset.status_code for asset in assets} == {404}


LOCAL = ["localhost", "localhost:8000", "LocalHost:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000"]
FOREIGN = [
    "rebound.example:8000",
    "localhost.rebound.example",
    "127.0.0.1.rebound.example",
    "127.0.0.1@rebound.example",
    "0.0.0.0:8000",
    "192.0.2.1:8000",
    "[::1].rebound.example",
    "[2001:db8::1]:8000",
    "",
]
# Each by the program that sends it and maybe no other.
FORWARDING = [
    ("X-Forwarded-For", "198.51.100.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "localhost"),
    ("Forwarded", "for=198.51.100.7"),
    ("Via", "1.1 proxy"),
    ("X-Real-IP", "198.51.100.7"),
    ("CF-Connecting-IP", "198.51.100.7"),
]


async def assert_explorer(api: Api, headers: dict[str, str], *, shown: bool) -> None:
    page = await api.http.get("/graphql", headers=headers | {"Accept": BROWSER})
    asset = await api.http.get("/graphql/explorer/explorer.js", headers=headers)
    assert (page.status_code, asset.status_code) == ((200, 200) if shown else (400, 404))


async def test_dev_shows_the_explorer_to_a_browser_on_this_machine(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(dev=True) as app:
        for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
            for host in LOCAL:
                with subtests.test(address=address, host=host):
                    await assert_explorer(connect(app, address), {"Host": host}, shown=True)


async def test_dev_shows_no_explorer_to_another_machine(run_app: RunApp, connect: Connect) -> None:
    async with run_app(dev=True) as app:
        for address in ("192.0.2.1", "2001:db8::1", "a socket"):
            await assert_explorer(connect(app, address), {"Host": "localhost:8000"}, shown=False)


async def test_dev_shows_no_explorer_to_a_site_whose_name_was_rebound_to_this_machine(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(dev=True) as app:
        for host in FOREIGN:
            with subtests.test(host=host):
                await assert_explorer(connect(app, "127.0.0.1"), {"Host": host}, shown=False)


async def test_dev_shows_no_explorer_through_a_proxy_on_this_machine(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(dev=True) as app:
        for name, value in FORWARDING:
            with subtests.test(name=name):
                await assert_explorer(connect(app, "127.0.0.1"), {"Host": "localhost", name: value}, shown=False)


async def test_the_explorer_setting_outranks_dev(run_app: RunApp, connect: Connect) -> None:
    async with run_app(dev=True, explorer=False) as app:
        await assert_explorer(connect(app, "127.0.0.1"), {"Host": "localhost"}, shown=False)
    async with run_app(dev=True, explorer=True) as app:
        await assert_explorer(connect(app, "192.0.2.1"), {"Host": "sign-in.example.com", "Via": "1.1 p"}, shown=True)


async def test_explorer_leaves_operations_alone(run_app: RunApp, connect: Connect) -> None:
    """Those of the page itself, and those of clients that name no HTML."""
    async with run_app(explorer=True) as app:
        http = connect(app).http
        get = await http.get("/graphql", params={"query": POLICY}, headers={"Accept": "application/json, */*"})
        post = await http.post("/graphql", content=operation(), headers=JSON | {"Accept": BROWSER})
        link = await http.get("/graphql", params={"query": "mutation { logout { __typename } }"})

    assert get.json() == post.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}
    assert link.status_code == 405


async def test_a_link_with_an_operation_opens_the_explorer_without_echoing_it(
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


async def test_explorer_page_policy_allows_only_its_own_files(run_app: RunApp, connect: Connect) -> None:
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


async def test_explorer_page_ignores_the_host_header(
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
    """Sent raw, since a client library would normalise the path."""
    for name in TRAVERSALS:
        with subtests.test(name=name):
            request = f"GET /graphql/explorer/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

            head, _ = await raw(live_server, request.encode())

            assert head.startswith(b"HTTP/1.1 404 ")


async def test_explorer_asset_is_read_only(run_app: RunApp, connect: Connect, subtests: pytest.Subtests) -> None:
    async with run_app(explorer=True) as app:
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]:
            with subtests.test(method=method):
                response = await connect(app).http.request(method, "/graphql/explorer/explorer.js")

                assert response.status_code == 405
