"""Cookie mode in a real browser: our page uses the session without seeing the token, and other pages can't."""

import json
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pyotp
import pytest

from tests.api_client import LOGOUT, REFRESH_SESSION, REGISTER_USER, VERIFY_OTP, Result
from tests.conftest import Server
from tests.slow.browser.conftest import Serve, complaints_of
from tests.slow.browser.graphiql import open_tab, run, type_over, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

COOKIE = "__Host-graphql-mfa-refresh"
REQUIRED_HEADER = {"GraphQL-Require-Preflight": "true"}
# The answer, or null where the browser does not send the request or does not let the page have the answer.
FETCH = """async ({url, body, headers, mode}) => {
    try {
        const response = await fetch(url, {method: "POST", mode, credentials: "include", headers, body});
        return await response.json();
    } catch (error) {
        if (error instanceof TypeError) return null;
        throw error;
    }
}"""
# A form can't send JSON, but text that happens to be JSON.
SUBMIT_FORM = """url => {
    const form = document.createElement("form");
    Object.assign(form, {action: url, method: "post", enctype: "text/plain"});
    const input = document.createElement("input");
    input.name = '{"query": "mutation { refreshSession { __typename } }", "extensions": {"';
    input.value = '": 0}}';
    form.append(input);
    document.body.append(form);
    form.submit();
}"""


class EmptyPage(BaseHTTPRequestHandler):
    """Somebody else's page; a test gives it its scripts."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """A test's output is not for it."""


@pytest.fixture
def other_port() -> Iterator[int]:
    """A port of this machine that serves another page: same site, other origin."""
    with HTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def fetch(page: "Page", url: str, query: str, variables: object = None, **options: Any) -> Any:
    """The response to an operation as the page's script sees it."""
    headers = {"Content-Type": "application/json"} | REQUIRED_HEADER
    body = json.dumps({"query": query, "variables": variables})
    return page.evaluate(FETCH, {"url": f"{url}/graphql", "body": body, "headers": headers, "mode": "cors"} | options)


def ask(page: "Page", url: str, query: str, variables: object = None) -> Result:
    """The outcome of an operation that is answered."""
    (outcome,) = fetch(page, url, query, variables)["data"].values()
    result: Result = outcome
    return result


def sign_in(page: "Page", url: str) -> Result:
    """By fetch from our own page; the tab stays there."""
    page.goto(f"{url}/graphql")
    account = {"username": f"user-{secrets.token_hex(4)}", "password": "four-otters-row-upstream"}
    registered = ask(page, url, REGISTER_USER, {"input": account})
    answer = {
        "challengeToken": registered["challenge"]["token"],
        "otp": pyotp.TOTP(registered["enrollment"]["secret"]).now(),
    }
    return ask(page, url, VERIFY_OTP, {"input": answer})


def kept(page: "Page") -> dict[str, str]:
    """The browser's cookies, those included that no script sees."""
    return {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}


def refreshes(server: Server) -> int:
    """How often the only session was renewed."""
    with closing(sqlite3.connect(server.folder / "graphql_mfa.db")) as database:
        ((generation,),) = database.execute("SELECT generation FROM mfa_sessions").fetchall()
    count: int = generation
    return count


def test_a_cookie_session_survives_a_reload_and_ends_with_logout(page: "Page", serve: Serve) -> None:
    url = serve().url
    confirmed = sign_in(page, url)
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    assert confirmed["tokens"]["refreshToken"] is None
    cookie = page.context.cookies()[0]
    assert re.fullmatch(r"mfar_[\w-]{43}", cookie["value"])
    assert (cookie["name"], cookie["path"]) == (COOKIE, "/")
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    assert page.evaluate("document.cookie") == ""

    page.reload()
    refreshed = ask(page, url, REFRESH_SESSION)
    assert refreshed["user"] == confirmed["user"]
    assert refreshed["tokens"]["refreshToken"] is None
    assert set(kept(page)) == {COOKIE}
    assert kept(page)[COOKIE] != cookie["value"]
    assert page.evaluate("document.cookie") == ""

    assert ask(page, url, LOGOUT) == {"__typename": "LogoutSuccess", "sessionsEnded": 1}
    assert kept(page) == {}
    assert ask(page, url, REFRESH_SESSION)["__typename"] == "SessionExpired"


def test_a_script_can_not_set_the_cookie(page: "Page", serve: Serve) -> None:
    url = serve().url
    sign_in(page, url)
    before = kept(page)
    page.evaluate(f"document.cookie = '{COOKIE}=mine; Path=/; Secure'")
    assert kept(page) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["of the same site", "of another site"])
def test_the_page_of_another_origin_uses_the_cookie(page: "Page", serve: Serve, other_port: int, host: str) -> None:
    """Cookies know no ports: to the page of the same site the browser gives them, whatever `SameSite` says."""
    server = serve()
    sign_in(page, server.url)
    before = kept(page)
    page.goto(f"http://{host}:{other_port}/")

    for query in (REFRESH_SESSION, LOGOUT):
        # With our header the browser asks first, and is not allowed to send it.
        assert fetch(page, server.url, query) is None
        # Without it, JSON needs asking too, and other text does not: there the server has to refuse.
        assert fetch(page, server.url, query, headers={"Content-Type": "application/json"}) is None
        assert fetch(page, server.url, query, headers={"Content-Type": "text/plain"}) is None
        assert fetch(page, server.url, query, headers={"Content-Type": "text/plain"}, mode="no-cors") is None
        assert kept(page) == before
        assert refreshes(server) == 0

    with page.expect_navigation():
        page.evaluate(SUBMIT_FORM, f"{server.url}/graphql")
    assert "Send the header GraphQL-Require-Preflight" in page.content()
    assert kept(page) == before
    assert refreshes(server) == 0

    page.goto(f"{server.url}/graphql")
    assert ask(page, server.url, REFRESH_SESSION)["__typename"] == "SignedIn"


def test_the_page_of_a_listed_origin_of_the_same_site_refreshes_and_logs_out(
    page: "Page", serve: Serve, other_port: int
) -> None:
    origin = f"http://127.0.0.1:{other_port}"
    server = serve(GRAPHQL_MFA_CORS_ORIGINS=origin)
    confirmed = sign_in(page, server.url)
    before = kept(page)

    page.goto(f"{origin}/")
    simple = fetch(page, server.url, REFRESH_SESSION, headers={"Content-Type": "text/plain"})
    message = "Send the header GraphQL-Require-Preflight, with any value."
    assert simple == {"errors": [{"message": message, "extensions": {"code": "FORBIDDEN"}}]}
    assert refreshes(server) == 0
    refreshed = ask(page, server.url, REFRESH_SESSION)
    assert refreshed["user"] == confirmed["user"]
    assert refreshed["tokens"]["refreshToken"] is None
    assert kept(page)[COOKIE] != before[COOKIE]
    assert refreshes(server) == 1
    assert page.evaluate("document.cookie") == ""
    assert ask(page, server.url, LOGOUT) == {"__typename": "LogoutSuccess", "sessionsEnded": 1}
    assert kept(page) == {}


class ForgetfulProxy(BaseHTTPRequestHandler):
    """Passes requests on with another Host, as nginx does by `proxy_set_header Host $host`."""

    target = ""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = {name: value for name, value in self.headers.items() if name not in {"Host", "Accept-Encoding"}}
        response = httpx.request(self.command, self.target + self.path, content=body, headers=sent | {"Host": "id"})
        self.send_response(response.status_code)
        for name, value in response.headers.multi_items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """A test's output is not for it."""


def test_our_page_signs_in_behind_a_proxy_that_changes_the_host(page: "Page", serve: Serve) -> None:
    handler = type("Proxy", (ForgetfulProxy,), {"target": serve(GRAPHQL_MFA_EXPLORER="true").url})
    with HTTPServer(("127.0.0.1", 0), handler) as proxy:
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{proxy.server_port}"
            assert sign_in(page, url)["__typename"] == "EnrollmentConfirmed"
            assert ask(page, url, REFRESH_SESSION)["__typename"] == "SignedIn"
        finally:
            proxy.shutdown()
            thread.join()


def test_the_page_of_a_listed_origin_of_another_site_may_call_but_has_no_session(
    page: "Page", serve: Serve, other_port: int
) -> None:
    """`SameSite=Strict` is the browser's to keep: app and API belong under one domain."""
    origin = f"http://localhost:{other_port}"
    server = serve(GRAPHQL_MFA_CORS_ORIGINS=origin)
    sign_in(page, server.url)
    before = kept(page)

    page.goto(f"{origin}/")
    assert ask(page, server.url, REFRESH_SESSION)["__typename"] == "SessionExpired"
    assert ask(page, server.url, LOGOUT)["reason"] == "TOKEN_MISSING"
    assert kept(page) == before
    assert refreshes(server) == 0


def sign_in_by_hand(page: "Page", url: str) -> None:
    page.goto(f"{url}/graphql")
    wait_until(page, "sessionStorage.getItem('graphiql:tabState') !== null")
    open_tab(page, "Register")
    secret = re.search(r'"secret": "([A-Z2-7]+)"', run(page, "RegisterUserSuccess"))
    assert secret
    open_tab(page, "FirstCode")
    type_over(page, "123456", pyotp.TOTP(secret[1]).now())
    assert '"refreshToken": null' in run(page, "EnrollmentConfirmed")


def test_the_explorer_signs_in_and_out_under_its_policy(page: "Page", serve: Serve) -> None:
    complaints = complaints_of(page)
    sign_in_by_hand(page, serve().url)
    assert set(kept(page)) == {COOKIE}
    open_tab(page, "WhoAmI")
    run(page, '"username": "alice-')
    open_tab(page, "LogOut")
    run(page, "LogoutSuccess")
    assert kept(page) == {}
    assert complaints == []


def test_the_explorer_refreshes_by_the_cookie(page: "Page", serve: Serve) -> None:
    complaints = complaints_of(page)
    sign_in_by_hand(page, serve().url)
    before = kept(page)
    open_tab(page, "Refresh")
    run(page, "SignedIn")
    assert kept(page) != before
    assert complaints == []
