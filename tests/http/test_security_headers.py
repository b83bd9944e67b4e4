"""The security headers of every response."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPMethod
from typing import NoReturn

import httpx
import pytest
from fastapi import FastAPI

from graphql_mfa import explorer
from graphql_mfa.services import Services
from graphql_mfa.store.outages import NotMigratedError
from tests import vendored
from tests.api_client import ME, Api
from tests.conftest import Connect
from tests.http.requests import JSON, POLICY, operation

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

LISTED = "https://app.example"
NOTHING = "default-src 'none'; frame-ancestors 'none'"
ASSETS = ["examples.js", "explorer.js", "explorer.css", *vendored.FILES]
PATHS = ["/graphql", "/graphql/", "/graphql/explorer/explorer.js", "/healthz", "/readyz", "/.well-known/jwks.json", "/"]
BROWSER = {"Accept": "text/html"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


def assert_security_headers(response: httpx.Response, *, policy: str = NOTHING, cache: str = "no-store") -> None:
    """Assert each header exactly once: some browsers ignore duplicates."""
    expected = {
        "Cache-Control": cache,
        "Content-Security-Policy": policy,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    assert {name: response.headers.get_list(name) for name in expected} == {
        name: [value] for name, value in expected.items()
    }


@pytest.fixture
async def browser(run_app: RunApp, connect: Connect) -> AsyncIterator[Api]:
    """A client of an application with everything that browsers use switched on."""
    async with run_app(explorer=True, cors_origins=[LISTED], max_body_bytes=2000) as app:
        yield connect(app)


async def test_every_answer_to_an_operation_has_them(browser: Api, subtests: pytest.Subtests) -> None:
    for accept, query in itertools.product(
        ["*/*", "application/json", "application/graphql-response+json"],
        [
            POLICY,
            "{ me { id } }",
            "mutation { logout { __typename } }",
            "{ __schema { types { name } } }",
            "{ nothing }",
            "{",
            "{ a: me { id } b: nothing }",
        ],
    ):
        with subtests.test(accept=accept, query=query):
            response = await browser.http.post("/graphql", content=operation(query), headers=JSON | {"Accept": accept})

            assert response.status_code in {200, 400}
            assert_security_headers(response)


async def test_an_operation_in_the_address_has_them(browser: Api, subtests: pytest.Subtests) -> None:
    for accept in ["*/*", "application/json", "text/*"]:
        with subtests.test(accept=accept):
            response = await browser.http.get("/graphql", params={"query": POLICY}, headers={"Accept": accept})

            assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}
            assert_security_headers(response)


async def test_every_refusal_has_them(browser: Api, subtests: pytest.Subtests) -> None:
    for method, url, body, headers, status in [
        ("POST", "/graphql", b"", JSON, 400),
        ("POST", "/graphql", b"\xff", JSON, 400),
        ("POST", "/graphql", b"null", JSON, 400),
        ("POST", "/graphql", b"{}", JSON, 400),
        ("POST", "/graphql", operation("subscription { me { id } }"), JSON, 400),
        ("POST", "/graphql", operation(operationName="Unknown"), JSON, 400),
        ("POST", "/graphql", b" " * 2001, JSON, 413),
        ("POST", "/graphql", operation(), {}, 415),
        ("POST", "/graphql", operation(), {"Content-Type": "multipart/form-data"}, 415),
        ("POST", "/graphql", operation(), JSON | {"Content-Encoding": "gzip"}, 415),
        ("GET", "/graphql", b"", {}, 400),
        ("GET", "/graphql?query=mutation%7Blogout%7B__typename%7D%7D", b"", {}, 405),
        ("GET", "/graphql?query=" + "x" * 2001, b"", {}, 414),
    ]:
        with subtests.test(method=method, url=url, body=body, headers=headers, status=status):
            response = await browser.http.request(method, url, content=body, headers=headers)

            assert response.status_code == status
            assert_security_headers(response)


async def test_a_request_that_takes_too_long_has_them(run_app: RunApp, connect: Connect) -> None:
    async def never_ends() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with run_app(request_timeout_seconds=1) as app:
        response = await connect(app).http.post("/graphql", content=never_ends(), headers=JSON)

    assert response.status_code == 408
    assert_security_headers(response)


async def test_a_page_that_cookie_mode_refuses_has_them(run_app: RunApp, connect: Connect) -> None:
    async with run_app(session_transport="cookie") as app:
        response = await connect(app).http.post("/graphql", content=operation(), headers=JSON)

    assert response.status_code == 403
    assert_security_headers(response)


async def test_a_method_not_allowed_response_has_them(browser: Api, subtests: pytest.Subtests) -> None:
    for method, path in itertools.product(sorted(set(HTTPMethod) - {HTTPMethod.GET, HTTPMethod.HEAD}), PATHS):
        with subtests.test(method=method, path=path):
            response = await browser.http.request(method, path)

            assert response.status_code in {400, 404, 405, 415}
            assert_security_headers(response)


async def test_a_404_has_them(browser: Api, subtests: pytest.Subtests) -> None:
    for method, path in itertools.product(
        ["GET", "HEAD"], ["/graphql/", "/graphql/explorer/", "/graphql/explorer/none", "/nothing", "/.env"]
    ):
        with subtests.test(method=method, path=path):
            response = await browser.http.request(method, path)

            assert response.status_code in {404, 405}
            assert_security_headers(response)


@pytest.mark.parametrize(("explorer", "status"), [(True, 307), (False, 200)])
async def test_the_root_has_them(run_app: RunApp, connect: Connect, explorer: bool, status: int) -> None:
    async with run_app(explorer=explorer) as app:
        response = await connect(app).http.get("/")

    assert response.status_code == status
    assert_security_headers(response)


async def test_health_has_them(browser: Api, subtests: pytest.Subtests) -> None:
    for path in ["/healthz", "/readyz"]:
        with subtests.test(path=path):
            response = await browser.http.get(path)

            assert response.status_code == 200
            assert_security_headers(response)


async def test_a_server_that_is_not_ready_has_them(
    app: FastAPI, connect: Connect, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_migrated() -> NoReturn:
        raise NotMigratedError("it is older")

    monkeypatch.setattr(services.database, "require_migrated", not_migrated)
    response = await connect(app).http.get("/readyz")

    assert response.status_code == 503
    assert_security_headers(response)


async def test_public_keys_have_them_and_may_be_cached(browser: Api) -> None:
    response = await browser.http.get("/.well-known/jwks.json")

    assert response.status_code == 200
    assert_security_headers(response, cache="public, max-age=300")


async def test_every_answer_to_a_preflight_has_them(browser: Api, subtests: pytest.Subtests) -> None:
    for (origin, status), path in itertools.product([(LISTED, 200), ("https://evil.example", 400)], PATHS):
        with subtests.test(origin=origin, status=status, path=path):
            response = await browser.http.options(path, headers=PREFLIGHT | {"Origin": origin})

            assert response.status_code == status
            assert_security_headers(response)


async def test_the_explorer_has_a_separate_content_security_policy(browser: Api, subtests: pytest.Subtests) -> None:
    for method in ["GET", "HEAD"]:
        with subtests.test(method=method):
            response = await browser.http.request(method, "/graphql", headers=BROWSER)

            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            assert explorer.CONTENT_SECURITY_POLICY.startswith("default-src 'self'; ")
            assert_security_headers(response, policy=explorer.CONTENT_SECURITY_POLICY)


async def test_the_files_of_the_explorer_have_them_and_may_be_cached(browser: Api, subtests: pytest.Subtests) -> None:
    for name in ASSETS:
        with subtests.test(name=name):
            response = await browser.http.get(f"/graphql/explorer/{name}")

            assert response.status_code == 200
            assert_security_headers(response, cache="max-age=3600")


async def test_an_unexpected_error_of_an_operation_has_them(
    app: FastAPI, connect: Connect, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(query: object) -> None:
        raise OSError

    api = connect(app)
    member = await api.member()
    monkeypatch.setattr(services.database, "read", lost)
    response = await api.send(ME, token=member.access_token)

    assert response.json()["errors"][0]["message"] == "Internal server error."
    assert_security_headers(response)


async def test_an_unexpected_error_outside_of_operations_has_them(
    app: FastAPI, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(services.database, "require_migrated", broken)
    # A server logs the error; this transport would raise it.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        response = await http.get("/readyz")

    assert response.status_code == 500
    assert_security_headers(response)


@pytest.mark.parametrize("transport", ["bearer", "cookie"])
async def test_no_response_with_a_secret_is_cacheable(run_app: RunApp, connect: Connect, transport: str) -> None:
    responses: list[httpx.Response] = []

    async def remember(response: httpx.Response) -> None:
        responses.append(response)

    async with run_app(session_transport=transport, cors_origins=[LISTED]) as app:
        api = connect(app)
        api.http.headers.update({"GraphQL-Require-Preflight": "true", "Origin": LISTED})
        api.http.event_hooks["response"].append(remember)
        member = await api.member()
        await api.me(member.access_token)
        await api.logout(member.access_token)

    secrets = ("secret", "otpauthUri", "token", "accessToken", "refreshToken", "recoveryCodes")
    assert all(any(f'"{name}":' in response.text for response in responses) for name in secrets)
    for response in responses:
        assert_security_headers(response)


async def test_the_endpoint_has_the_same_headers_in_a_host_application(run_app: RunApp, connect: Connect) -> None:
    """They come with the router, without the service's middleware."""
    async with run_app(explorer=True) as app:
        host = FastAPI()
        host.include_router(app.router)
        api = connect(host)
        answer = await api.http.post("/graphql", content=operation(), headers=JSON)
        refusal = await api.http.post("/graphql", content=operation())
        page = await api.http.get("/graphql", headers=BROWSER)
        nothing = await api.http.get("/graphql/explorer/nothing")

    assert [response.status_code for response in (answer, refusal, page, nothing)] == [200, 415, 200, 404]
    for response in (answer, refusal, nothing):
        assert_security_headers(response)
    assert_security_headers(page, policy=explorer.CONTENT_SECURITY_POLICY)
