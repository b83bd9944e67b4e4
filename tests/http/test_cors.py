"""Pages of other origins: only those that the operator lists may call and read the responses."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from typer.testing import CliRunner

from graphql_mfa import Settings
from graphql_mfa.cli import app as command
from tests.api_client import Api
from tests.conftest import Connect
from tests.http.requests import JSON, operation

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
MakeSettings = Callable[..., Settings]

LISTED = ["https://app.example", "http://localhost:5173", "http://[::1]:3000"]
STRANGERS = [
    "https://evil.example",
    "null",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example.evil.example",
    "https://evil-app.example",
    "https://sub.app.example",
    "https://user@app.example",
    "https://app.example@evil.example",
    "https://app.example/",
    "https://app.example, https://evil.example",
    "HTTPS://APP.EXAMPLE",
    "https://app.example.",
    "*",
    "",
]
PATHS = ["/graphql", "/.well-known/jwks.json"]


async def call(api: Api, origin: str | None) -> httpx.Response:
    headers = {} if origin is None else {"Origin": origin}
    response = await api.http.post("/graphql", content=operation(), headers=JSON | headers)
    assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}
    return response


async def ask_first(api: Api, origin: str, method: str = "POST", path: str = "/graphql") -> httpx.Response:
    """The preflight request of a browser."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,graphql-require-preflight,x-request-id",
    }
    return await api.http.options(path, headers=headers)


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


def permissions(response: httpx.Response) -> dict[str, str]:
    """The headers from which a browser learns that a page may do something."""
    granting = {"access-control-allow-origin", "access-control-allow-private-network"}
    return {name: value for name, value in response.headers.items() if name in granting}


async def test_the_page_of_a_listed_origin_may_call_and_read(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(cors_origins=LISTED) as app:
        for origin in LISTED:
            with subtests.test(origin=origin):
                api = connect(app)
                allowed, answer = await ask_first(api, origin), await call(api, origin)

                assert allowed.status_code == 200
                assert permissions(allowed) == permissions(answer) == {"access-control-allow-origin": origin}
                assert names(allowed.headers["Access-Control-Allow-Methods"]) == {"get", "post"}
                assert names(allowed.headers["Access-Control-Allow-Headers"]) == {
                    "authorization",
                    "content-type",
                    "graphql-require-preflight",
                    "x-request-id",
                }
                assert allowed.headers["Access-Control-Max-Age"] == "600"


async def test_the_page_of_any_other_origin_may_not(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(cors_origins=LISTED) as app:
        for origin in STRANGERS:
            with subtests.test(origin=origin):
                api = connect(app)
                refused, answer = await ask_first(api, origin), await call(api, origin)

                assert refused.status_code == 400
                assert permissions(refused) == permissions(answer) == {}
                assert not origin or origin not in refused.text


async def test_a_preflight_of_a_listed_origin_allows_no_other_methods(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(cors_origins=LISTED) as app:
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post", "*"]:
            with subtests.test(method=method):
                refused = await ask_first(connect(app), LISTED[0], method)

                assert refused.status_code == 400
                assert names(refused.headers["Access-Control-Allow-Methods"]) == {"get", "post"}


async def test_without_listed_origins_no_other_origin_may_call(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app() as app:
        for origin in [*LISTED, "null"]:
            with subtests.test(origin=origin):
                api = connect(app)
                refused, answer = await ask_first(api, origin), await call(api, origin)

                assert refused.status_code == 405
                assert "list the origin in GRAPHQL_MFA_CORS_ORIGINS" in refused.json()["errors"][0]["message"]
                for response in (refused, answer):
                    assert [name for name in response.headers if name.startswith("access-control-")] == []


async def test_an_asterisk_allows_every_origin_without_cookies(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with run_app(cors_origins="*") as app:
        for origin in ["https://anywhere.example", "null"]:
            with subtests.test(origin=origin):
                api = connect(app)
                allowed, answer = await ask_first(api, origin), await call(api, origin)
                api.http.cookies.set("any", "cookie")
                with_cookie = await call(api, origin)

                for response in (allowed, answer, with_cookie):
                    assert permissions(response) == {"access-control-allow-origin": "*"}
                    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(("transport", "credentials"), [("bearer", None), ("cookie", "true")])
async def test_credentials_are_allowed_in_cookie_mode_only(
    run_app: RunApp, connect: Connect, transport: str, credentials: str | None
) -> None:
    async with run_app(cors_origins=LISTED, session_transport=transport) as app:
        api = connect(app)
        api.http.headers["GraphQL-Require-Preflight"] = "true"
        responses = [await ask_first(api, LISTED[0]), await call(api, LISTED[0])]

    assert [response.headers.get("Access-Control-Allow-Credentials") for response in responses] == [credentials] * 2


async def test_responses_vary_by_origin(run_app: RunApp, connect: Connect, subtests: pytest.Subtests) -> None:
    """Otherwise a cache would serve a page the response for another origin."""
    async with run_app(cors_origins=LISTED) as app:
        for origin, path in itertools.product([LISTED[0], "https://evil.example", None], PATHS):
            with subtests.test(origin=origin, path=path):
                api = connect(app)
                responses = [await api.http.get(path, headers={} if origin is None else {"Origin": origin})]
                if origin is not None:
                    responses.append(await ask_first(api, origin, path=path))

                for response in responses:
                    assert "origin" in names(", ".join(response.headers.get_list("Vary")))


async def test_cors_keeps_the_other_values_of_vary(run_app: RunApp, connect: Connect) -> None:
    async with run_app(cors_origins=LISTED) as app:
        answer = await call(connect(app), LISTED[0])

    assert names(", ".join(answer.headers.get_list("Vary"))) == {"accept", "authorization", "origin"}


async def test_a_page_can_read_www_authenticate_and_the_request_id(run_app: RunApp, connect: Connect) -> None:
    async with run_app(cors_origins=LISTED) as app:
        headers = {"Origin": LISTED[0], "Authorization": "Bearer wrong", "X-Request-ID": "from-the-page"}
        answer = await connect(app).http.get("/graphql", params={"query": "{ me { id } }"}, headers=headers)

    assert names(answer.headers["Access-Control-Expose-Headers"]) == {"www-authenticate", "x-request-id"}
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert answer.headers["X-Request-ID"] == "from-the-page"


async def test_a_listed_page_can_read_a_refusal(run_app: RunApp, connect: Connect, subtests: pytest.Subtests) -> None:
    async with run_app(cors_origins=LISTED) as app:
        for body, status in [(b"", 400), (b"[]", 400), (operation("{ nothing }"), 200), (b" " * 70_000, 413)]:
            with subtests.test(body=body, status=status):
                response = await connect(app).http.post("/graphql", content=body, headers=JSON | {"Origin": LISTED[0]})

                assert response.status_code == status
                assert permissions(response) == {"access-control-allow-origin": LISTED[0]}


def test_origins_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings) -> None:
    monkeypatch.setenv("GRAPHQL_MFA_CORS_ORIGINS", f" {LISTED[0]},{LISTED[1]} , {LISTED[2]},")
    assert make_settings().cors_origins == tuple(LISTED)


def test_an_origin_that_no_browser_sends_is_refused_at_start(
    make_settings: MakeSettings, subtests: pytest.Subtests
) -> None:
    for origin in [
        "app.example",
        "//app.example",
        "https://",
        "https://app.example/",
        "https://app.example/path",
        "https://app.example?",
        "https://App.example",
        "HTTPS://app.example",
        "https://user@app.example",
        "https://app.example:",
        "https://app.example:port",
        "https://app.example:123456",
        "https://app.example\nhttps://evil.example",
        "https://app.example https://evil.example",
        "https://bücher.example",
        "https://::1",
        "null",
        "file://",
        "wss://app.example",
        "capacitor://",
        "Capacitor://localhost",
        "capacitor://localhost/",
        "chrome-extension://*",
        "capacitor://*.app.example",
        "https://*",
        "https://app.*",
        "https://pr-*.app.example",
        "https://*.*.app.example",
        "https://*.[::1]",
        "https://*.example.com.",
        "https://*..example.com",
        "**",
    ]:
        with (
            subtests.test(origin=origin),
            pytest.raises(ValidationError, match="must list origins as browsers send them"),
        ):
            make_settings(cors_origins=f"https://app.example,{origin}")


def test_a_wildcard_below_a_public_suffix_is_refused_at_start(
    make_settings: MakeSettings, subtests: pytest.Subtests
) -> None:
    for domain in [
        "com",
        "co.uk",
        "vercel.app",
        "pages.dev",
        "github.io",
        "ck",
        "kawasaki.jp",
        "compute.amazonaws.com",
        "xn--p1ai",
        "localhost",
        "no-such-top-level-domain",
        "0.0.1",
    ]:
        with (
            subtests.test(domain=domain),
            pytest.raises(ValidationError, match="can have a wildcard only below a domain of your own"),
        ):
            make_settings(cors_origins=f"https://*.{domain}")


@pytest.mark.parametrize(("origin", "loaded"), [("https://app.example", False), ("https://*.app.example", True)])
def test_the_public_suffix_list_is_loaded_for_a_wildcard_only(origin: str, loaded: bool) -> None:
    code = f"import sys; from graphql_mfa import Settings; Settings(cors_origins={origin!r}); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("publicsuffixlist" in ran.stdout.split()) is loaded


async def test_a_wildcard_stands_for_one_label(run_app: RunApp, connect: Connect, subtests: pytest.Subtests) -> None:
    wildcards = ["https://*.preview.example.com", "http://*.app.localhost:5173", "https://*.example.co.uk"]
    async with run_app(cors_origins=[*wildcards, LISTED[0]]) as app:
        for origin in [
            "https://pr-7.preview.example.com",
            "https://a_b.preview.example.com",
            "https://xn--bcher-kva.preview.example.com",
            "http://one.app.localhost:5173",
            "https://www.example.co.uk",
            LISTED[0],
        ]:
            with subtests.test(origin=origin):
                assert permissions(await call(connect(app), origin)) == {"access-control-allow-origin": origin}
        for origin in [
            "https://preview.example.com",
            "https://.preview.example.com",
            "https://a.b.preview.example.com",
            "http://a.preview.example.com",
            "https://a.preview.example.com:8443",
            "https://a.preview.example.com.evil.example",
            "https://evil.example/.preview.example.com",
            "https://evil.example#.preview.example.com",
            "https://user@a.preview.example.com",
            "https://a.previewxexample.com",
            "https://a.preview.example.com\n",
            "http://one.app.localhost:51730",
            "https://a.app.example",
            "null",
        ]:
            with subtests.test(origin=origin):
                api = connect(app)
                refused, answer = await ask_first(api, origin), await call(api, origin)
                assert permissions(refused) == permissions(answer) == {}


async def test_origins_of_web_views_and_extensions_may_be_listed(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    origins = [
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "app://obsidian.md",
        "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
        "moz-extension://5b6f1c4e-0d0b-4ef3-9a2b-8b4b1a1f0c11",
        "safari-web-extension://8C6C5ACE-3B5B-4D2A-A4F7-9D1E0C7B2A11",
    ]
    async with run_app(cors_origins=origins) as app:
        for origin in origins:
            with subtests.test(origin=origin):
                assert permissions(await call(connect(app), origin)) == {"access-control-allow-origin": origin}
        for origin in ["capacitor://evil", "https://localhost", "safari-web-extension://8c6c5ace"]:
            with subtests.test(origin=origin):
                assert permissions(await call(connect(app), origin)) == {}


def test_a_port_that_no_browser_sends_is_refused_at_start(
    make_settings: MakeSettings, subtests: pytest.Subtests
) -> None:
    """They leave out the scheme's own port (RFC 6454 6.2), so such an entry would never match."""
    for origin in [
        "https://app.example:443",
        "http://app.example:80",
        "https://app.example:99999",
        "https://app.example:08",
        "https://app.example:1٣",
    ]:
        with subtests.test(origin=origin), pytest.raises(ValidationError, match="origin"):
            make_settings(cors_origins=origin)


@pytest.mark.usefixtures("serve_in_process")
@pytest.mark.parametrize("origins", ["*", "https://app.example,*", "https://*.preview.example.com"])
def test_an_asterisk_in_cookie_mode_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_settings: MakeSettings, origins: str
) -> None:
    with pytest.raises(ValidationError, match=r"GRAPHQL_MFA_CORS_ORIGINS can't contain \* in cookie mode"):
        make_settings(cors_origins=origins, session_transport="cookie")

    monkeypatch.chdir(tmp_path)
    environment = {"GRAPHQL_MFA_CORS_ORIGINS": origins, "GRAPHQL_MFA_SESSION_TRANSPORT": "cookie"}
    ran = CliRunner().invoke(command, ["serve"], env=environment)
    assert ran.exit_code == 2
    assert ran.stderr.startswith("Wrong configuration: ")
    assert "list the origins" in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.usefixtures("serve_in_process")
def test_serve_with_a_malformed_origin_ends_naming_the_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(command, ["serve"], env={"GRAPHQL_MFA_CORS_ORIGINS": "https://app.example/"})
    assert ran.exit_code == 2
    assert ran.stderr.startswith("Wrong configuration: GRAPHQL_MFA_CORS_ORIGINS ")
    assert ran.stderr.count("GRAPHQL_MFA_") == 1
    assert "as browsers send them: https://example.com" in ran.stderr
