"""Refresh tokens in cookies: scripts can't read them, and other sites' pages can't use them."""

import itertools
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import httpx
import pytest
from fastapi import FastAPI

from graphql_mfa import ClaimsRequest
from graphql_mfa.services import Services
from tests.account import act
from tests.api.scenarios import NO_REFRESH_TOKEN, change_password, own_session, reauthenticate
from tests.api_client import LOGOUT, REFRESH_SESSION, VERIFY_OTP, Api, Member, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Connect
from tests.http.requests import JSON, POLICY, assert_headers, assert_refusal, messages, operation
from tests.security.attacks import scalar

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

COOKIE = "__Host-graphql-mfa-refresh"
LISTED = "https://app.example"
OWN_SCRIPT = {"GraphQL-Require-Preflight": "true"}


class Browser:
    """The application's own page: it sends the required header and, as a browser does, keeps the cookie."""

    def __init__(self, api: Api) -> None:
        self.api, self.cookie, self.max_age = api, "", 0
        self.headers = OWN_SCRIPT | {"Origin": "http://testserver"}
        api.http.headers.update(self.headers)
        api.http.event_hooks["request"].append(self._send)
        api.http.event_hooks["response"].append(self._receive)

    async def _send(self, request: httpx.Request) -> None:
        if self.cookie and "Cookie" not in request.headers:
            request.headers["Cookie"] = f"theme=dark; {COOKIE}={self.cookie}; lang=en"

    async def _receive(self, response: httpx.Response) -> None:
        for header in response.headers.get_list("Set-Cookie"):
            self.cookie, self.max_age = assert_cookie(header)

    async def refresh(self) -> Result:
        return await self.api.run(REFRESH_SESSION)

    async def logout(self) -> Result:
        return await self.api.run(LOGOUT)

    async def attack(self, headers: Mapping[str, str], query: str = REFRESH_SESSION) -> httpx.Response:
        """A request from another site's page: the browser adds the cookie, but not our headers."""
        request = self.api.http.build_request("POST", "/graphql", content=operation(query), headers=JSON)
        for name in self.headers:
            del request.headers[name]
        request.headers.encoding = "latin-1"
        request.headers.update(headers)
        return await self.api.http.send(request)


def assert_cookie(header: str) -> tuple[str, int]:
    """The value and the seconds that it may be kept, of a cookie that only this host gets and that no script reads."""
    pair, *attributes = header.split("; ")
    name, _, value = pair.partition("=")
    assert name == COOKIE
    ages = [attribute for attribute in attributes if attribute.startswith("Max-Age=")]
    assert sorted(attributes) == ["HttpOnly", *ages, "Path=/", "SameSite=Strict", "Secure"]
    (age,) = ages
    return value, int(age.removeprefix("Max-Age="))


def seconds_left(result: Result, clock: Clock) -> int:
    ends = datetime.fromisoformat(result["tokens"]["refreshTokenExpiresAt"])
    return int((ends - clock()).total_seconds())


def assert_in_cookie(browser: Browser, result: Result, clock: Clock) -> None:
    """The session that was opened or renewed just now is in the cookie, and its token nowhere else."""
    assert result["tokens"]["refreshToken"] is None
    assert result["tokens"]["accessToken"]
    assert re.fullmatch(r"mfar_[\w-]{43}", browser.cookie)
    assert browser.max_age == seconds_left(result, clock)


@pytest.fixture
async def app(run_app: RunApp) -> AsyncIterator[FastAPI]:
    async with run_app(session_transport="cookie", cors_origins=[LISTED], explorer=True) as app:
        yield app


@pytest.fixture
def browser(app: FastAPI, connect: Connect) -> Browser:
    return Browser(connect(app))


async def sign_in(browser: Browser, member: Member) -> Result:
    code = code_at(member.secret, browser.api.clock())
    return await browser.api.verify_otp(await browser.api.challenge(), code)


# --------------------------------------------------------------------------------------- opening and renewing a session


async def test_the_first_code_puts_the_refresh_token_into_the_cookie(browser: Browser, clock: Clock) -> None:
    registered = await browser.api.register()
    assert browser.cookie == ""
    code = code_at(registered["enrollment"]["secret"], clock())
    confirmed = await browser.api.verify_otp(registered["challenge"], code)
    assert confirmed["__typename"] == "EnrollmentConfirmed"
    assert_in_cookie(browser, confirmed, clock)
    assert browser.max_age == 3600


async def test_deployments_at_one_host_name_keep_their_own_cookies(
    run_app: RunApp, connect: Connect, subtests: pytest.Subtests
) -> None:
    """A browser sends both cookies to both ports."""
    names = ["__Host-a-refresh", "__Host-b-refresh"]
    async with (
        run_app(session_transport="cookie", cookie_name=names[0]) as one,
        run_app(session_transport="cookie", cookie_name=names[1]) as other,
    ):
        kept = {}
        for name, app, username in zip(names, (one, other), ("alice", "bob"), strict=True):
            api = connect(app)
            api.http.headers.update(OWN_SCRIPT)
            registered = await api.register(username)
            variables = {
                "input": {
                    "challengeToken": registered["challenge"]["token"],
                    "otp": code_at(registered["enrollment"]["secret"], api.clock()),
                }
            }
            (header,) = (await api.send(VERIFY_OTP, variables)).headers.get_list("Set-Cookie")
            kept[name] = header.partition(";")[0]
            assert header.startswith(f"{name}=mfar_")
        for name, app, username in zip(names, (one, other), ("alice", "bob"), strict=True):
            with subtests.test(name=name):
                headers = OWN_SCRIPT | {"Cookie": "; ".join(kept.values())}
                http = connect(app).http
                refreshed = await http.post("/graphql", json={"query": REFRESH_SESSION}, headers=headers)
                assert refreshed.json()["data"]["refreshSession"]["user"]["username"] == username
                (header,) = refreshed.headers.get_list("Set-Cookie")
                assert header.startswith(f"{name}=mfar_")
                kept[name] = header.partition(";")[0]
        logout = await connect(one).http.post("/graphql", json={"query": LOGOUT}, headers=headers)
        assert logout.headers.get_list("Set-Cookie")[0].startswith(f"{names[0]}=; Max-Age=0;")


async def test_a_later_code_puts_the_refresh_token_into_the_cookie(browser: Browser, clock: Clock) -> None:
    signed_in = await sign_in(browser, await browser.api.member())
    assert signed_in["__typename"] == "SignedIn"
    assert_in_cookie(browser, signed_in, clock)


async def test_a_recovery_code_puts_the_refresh_token_into_the_cookie(browser: Browser, clock: Clock) -> None:
    member = await browser.api.member()
    signed_in = await browser.api.verify_recovery_code(await browser.api.challenge(), member.recovery_codes[0])
    assert signed_in["__typename"] == "SignedIn"
    assert_in_cookie(browser, signed_in, clock)


async def test_refreshing_without_arguments_puts_the_next_refresh_token_into_the_cookie(
    browser: Browser, clock: Clock
) -> None:
    member = await browser.api.member()
    cookies = {browser.cookie}
    for _ in range(3):
        clock.advance(1000)
        refreshed = await browser.refresh()
        assert refreshed["user"] == member.session["user"]
        assert_in_cookie(browser, refreshed, clock)
        assert await browser.api.me(refreshed["tokens"]["accessToken"]) == member.session["user"]
        cookies.add(browser.cookie)
    assert len(cookies) == 4


async def test_the_cookie_is_not_kept_beyond_the_end_of_the_session(run_app: RunApp, connect: Connect) -> None:
    async with run_app(session_transport="cookie", session_lifetime_seconds=4000) as app:
        browser = Browser(connect(app))
        await browser.api.member()
        browser.api.clock.advance(3000 - 30)  # the clock moved a step after the sign-in
        await browser.refresh()
    assert browser.max_age == 1000


async def test_two_tabs_that_refresh_at_once_end_up_with_one_cookie(browser: Browser) -> None:
    await browser.api.member()
    old = browser.cookie
    await browser.refresh()
    new, browser.cookie = browser.cookie, old
    assert (await browser.refresh())["__typename"] == "SignedIn"
    assert browser.cookie == new


async def test_a_page_that_lost_the_answer_gets_the_same_cookie_by_its_retry_key(
    browser: Browser, clock: Clock
) -> None:
    await browser.api.member()
    old, variables = browser.cookie, {"retryKey": "the page drew this at random"}
    await browser.api.run(REFRESH_SESSION, variables)
    new, browser.cookie = browser.cookie, old
    clock.advance(1800)
    assert_in_cookie(browser, await browser.api.run(REFRESH_SESSION, variables), clock)
    assert browser.cookie == new


async def test_outcomes_without_a_session_leave_the_cookie_alone(browser: Browser, subtests: pytest.Subtests) -> None:
    await browser.api.member()

    for query in [POLICY, "{ me { id } }", "{ nothing }", "{"]:
        with subtests.test(query=query):
            response = await browser.api.send(query)
            assert "Set-Cookie" not in response.headers


async def test_failures_leave_the_cookie_alone(browser: Browser) -> None:
    member = await browser.api.member()
    cookie = browser.cookie
    assert (await browser.api.login(password="wrong"))["__typename"] == "InvalidCredentials"
    assert (await browser.api.verify_otp(await browser.api.challenge(), "x"))["__typename"] == "InvalidOtp"
    refused = await browser.api.verify_recovery_code({"token": "x"}, member.recovery_codes[0])
    assert refused["__typename"] == "ChallengeExpired"
    assert browser.cookie == cookie
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_a_rate_limit_leaves_the_cookie_alone(run_app: RunApp, connect: Connect) -> None:
    """The session may live: the limit is on refused tokens of the whole address."""
    async with run_app(session_transport="cookie", refresh_attempts=1) as app:
        browser = Browser(connect(app))
        await browser.api.member()
        kept = browser.cookie
        browser.cookie = NO_REFRESH_TOKEN
        assert (await browser.refresh())["__typename"] == "SessionExpired"
        browser.cookie = NO_REFRESH_TOKEN
        assert (await browser.refresh())["__typename"] == "RateLimited"
        assert browser.cookie == NO_REFRESH_TOKEN
        browser.cookie = kept
        assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_a_new_session_is_in_the_cookie_even_if_another_field_fails(
    browser: Browser, clock: Clock, services: Services
) -> None:
    """The error (a null) occurs in the second field, after the first one has used up the code."""
    registered = await browser.api.register()
    otp = code_at(registered["enrollment"]["secret"], clock())
    answer = {"challengeToken": registered["challenge"]["token"], "otp": otp}
    query = (
        "mutation ($input: VerifyOtpInput!, $everywhere: Boolean = false) { verifyOtp(input: $input) { __typename } "
        "logout(everywhere: $everywhere) { __typename } }"
    )
    response = await browser.api.send(query, {"input": answer, "everywhere": None})
    assert "errors" in response.json()
    assert await scalar(services, "SELECT count(*) FROM mfa_sessions") == 1
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_reauthentication_keeps_the_cookie(browser: Browser, clock: Clock) -> None:
    member = await browser.api.member()
    cookie = browser.cookie
    renewed = await reauthenticate(browser.api, member.access_token, otp=code_at(member.secret, clock()))
    assert renewed["__typename"] == "Reauthenticated"
    assert (await change_password(browser.api, renewed["accessToken"]))["__typename"] == "PasswordChanged"
    assert browser.cookie == cookie
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_the_cookie_can_refresh_after_the_access_token_expired(browser: Browser, clock: Clock) -> None:
    member = await browser.api.member()
    clock.advance(600)
    expired = await reauthenticate(browser.api, member.access_token, recoveryCode=member.recovery_codes[0])
    assert expired["reason"] == "TOKEN_EXPIRED"
    assert (await browser.refresh())["__typename"] == "SignedIn"


# ----------------------------------------------------------------------------------------------------- ending a session


async def test_logout_without_arguments_ends_the_session_and_deletes_the_cookie(browser: Browser) -> None:
    member = await browser.api.member()
    cookie = browser.cookie
    assert await browser.logout() == {"__typename": "LogoutSuccess", "sessionsEnded": 1}
    assert (browser.cookie, browser.max_age) == ("", 0)
    assert await browser.api.me(member.access_token) is None
    browser.cookie = cookie
    assert (await browser.refresh())["__typename"] == "SessionExpired"


async def test_logout_everywhere_without_arguments_ends_all_sessions(browser: Browser, services: Services) -> None:
    member = await browser.api.member()
    await sign_in(browser, member)
    assert await browser.api.logout(everywhere=True) == {"__typename": "LogoutSuccess", "sessionsEnded": 2}
    assert (browser.cookie, browser.max_age) == ("", 0)
    assert await scalar(services, "SELECT count(*) FROM mfa_sessions") == 0


async def test_logout_by_access_token_deletes_the_cookie_too(browser: Browser) -> None:
    member = await browser.api.member()
    assert (await browser.api.logout(member.access_token))["__typename"] == "LogoutSuccess"
    assert (browser.cookie, browser.max_age) == ("", 0)


async def test_the_cookie_of_an_ended_session_is_deleted(browser: Browser, clock: Clock) -> None:
    await browser.api.member()
    clock.advance(3600)
    assert (await browser.refresh())["__typename"] == "SessionExpired"
    assert (browser.cookie, browser.max_age) == ("", 0)


async def test_logout_of_an_ended_session_deletes_the_cookie_too(browser: Browser, clock: Clock) -> None:
    """Otherwise the browser would keep sending the cookie."""
    await browser.api.member()
    clock.advance(3600)
    assert (await browser.logout())["reason"] == "SESSION_ENDED"
    assert (browser.cookie, browser.max_age) == ("", 0)


async def test_a_stolen_cookie_that_is_used_late_ends_the_session(browser: Browser, clock: Clock) -> None:
    member = await browser.api.member()
    stolen = browser.cookie
    await browser.refresh()
    clock.advance(60)
    owners, browser.cookie = browser.cookie, stolen
    assert (await browser.refresh())["__typename"] == "SessionExpired"
    browser.cookie = owners
    assert (await browser.refresh())["__typename"] == "SessionExpired"
    assert await browser.api.me(member.access_token) is None


async def test_revoking_only_the_current_session_deletes_the_cookie(browser: Browser) -> None:
    member = await browser.api.member()
    token = (await sign_in(browser, member))["tokens"]["accessToken"]
    cookie = browser.cookie
    own = await own_session(browser.api, token)
    other = await own_session(browser.api, member.access_token)
    assert (await act(browser.api, "revokeSession", token, id=other))["__typename"] == "SessionRevoked"
    assert browser.cookie == cookie
    assert (await act(browser.api, "revokeSession", token, id=other))["__typename"] == "NotFound"
    assert browser.cookie == cookie
    assert (await act(browser.api, "revokeSession", token, id=own))["__typename"] == "SessionRevoked"
    assert (browser.cookie, browser.max_age) == ("", 0)


async def test_deleting_the_account_deletes_the_cookie(browser: Browser) -> None:
    member = await browser.api.member()
    assert (await act(browser.api, "deleteAccount", member.access_token))["__typename"] == "AccountDeleted"
    assert (browser.cookie, browser.max_age) == ("", 0)


@pytest.mark.parametrize("argument", ["nonsense", NO_REFRESH_TOKEN])
async def test_a_wrong_argument_leaves_the_cookie_of_a_live_session_alone(browser: Browser, argument: str) -> None:
    await browser.api.member()
    cookie = browser.cookie
    assert (await browser.api.logout(refresh_token=argument))["__typename"] == "NotAuthenticated"
    assert (await browser.api.refresh(argument))["__typename"] == "SessionExpired"
    assert browser.cookie == cookie
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_the_cookies_token_as_an_argument_acts_like_the_cookie(browser: Browser, clock: Clock) -> None:
    await browser.api.member()
    cookie = browser.cookie
    clock.advance(3600)
    assert (await browser.api.logout(refresh_token=cookie))["reason"] == "SESSION_ENDED"
    assert (browser.cookie, browser.max_age) == ("", 0)


@pytest.mark.parametrize("mutation", ["regenerateRecoveryCodes", "deleteAccount"])
async def test_an_access_token_that_expired_leaves_the_cookie_alone(
    browser: Browser, clock: Clock, mutation: str
) -> None:
    """The page needs it to refresh and to retry."""
    member = await browser.api.member()
    cookie = browser.cookie
    clock.advance(600)
    assert (await act(browser.api, mutation, member.access_token))["reason"] == "TOKEN_EXPIRED"
    assert browser.cookie == cookie
    assert (await browser.refresh())["__typename"] == "SignedIn"


# ------------------------------------------------------------------------------------------------- pages of other sites

FOREIGN = [
    "https://evil.example",
    "null",
    "",
    "http://",
    "//testserver",
    "testserver",
    "http:testserver",
    "http:///testserver",
    "http://testserver.evil.example",
    "http://eviltestserver",
    "http://evil.testserver",
    "http://testserve",
    "http://testserver.",
    "http://testserver:81",
    "http://testserver:",
    "http://testserver@evil.example",
    "http://evil.example#testserver",
    "http://evil.example/testserver",
    "http://user@testserver",
    "http://testserver/",
    "HTTP://TESTSERVER",
    "http://testserver, https://evil.example",
    "http://testserver https://evil.example",
    "https://app.example:8443",
    "http://app.example",
    "https://APP.EXAMPLE",
    "https://sub.app.example",
    "https://app.example.evil.example",
    "https://evil-app.example",
    f"{LISTED}/",
    f"{LISTED}, https://evil.example",
    "*",
]
OTHER_SCHEMES = ["ftp://testserver", "chrome-extension://testserver", "x://testserver", "://testserver"]


async def assert_unharmed(browser: Browser, cookie: str, services: Services) -> None:
    """The attack neither used the session, nor ended it, nor changed the cookie."""
    assert browser.cookie == cookie
    assert await scalar(services, "SELECT generation FROM mfa_sessions") == 0


async def test_the_page_of_another_origin_uses_the_cookie(
    browser: Browser, services: Services, subtests: pytest.Subtests
) -> None:
    await browser.api.member()
    cookie = browser.cookie

    for origin, query in itertools.product(FOREIGN, [REFRESH_SESSION, LOGOUT]):
        with subtests.test(origin=origin, query=query):
            response = await browser.attack(OWN_SCRIPT | {"Origin": origin}, query)
            assert_refusal(response, 403)
            assert "GRAPHQL_MFA_CORS_ORIGINS" in messages(response)[0]
            assert not origin or origin not in response.text
            await assert_unharmed(browser, cookie, services)
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_another_scheme_at_our_host_name_uses_the_cookie(
    browser: Browser, services: Services, subtests: pytest.Subtests
) -> None:
    await browser.api.member()
    cookie = browser.cookie

    for origin in OTHER_SCHEMES:
        with subtests.test(origin=origin):
            assert_refusal(await browser.attack(OWN_SCRIPT | {"Origin": origin}), 403)
            await assert_unharmed(browser, cookie, services)
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_a_form_or_a_simple_request_uses_the_cookie(
    browser: Browser, services: Services, subtests: pytest.Subtests
) -> None:
    """Forms can't send the header, not even a form that is injected into a same-origin page."""
    await browser.api.member()
    cookie = browser.cookie

    for origin, query in itertools.product(
        ["http://testserver", LISTED, "https://evil.example", None], [REFRESH_SESSION, LOGOUT]
    ):
        with subtests.test(origin=origin, query=query):
            response = await browser.attack({} if origin is None else {"Origin": origin}, query)
            assert_refusal(response, 403)
            assert "GraphQL-Require-Preflight" in messages(response)[0]
            await assert_unharmed(browser, cookie, services)
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_a_stranger_signs_the_browser_in_as_himself(browser: Browser, connect: Connect, app: FastAPI) -> None:
    """Login CSRF: the visitor would go on in the stranger's account."""
    stranger = connect(app, "10.0.0.66")
    stranger.http.headers.update(OWN_SCRIPT)
    registered = await stranger.register("stranger")
    otp = code_at(registered["enrollment"]["secret"], stranger.clock())
    variables = {"input": {"challengeToken": registered["challenge"]["token"], "otp": otp}}
    for headers in ({"Origin": "https://evil.example"}, OWN_SCRIPT | {"Origin": "https://evil.example"}):
        body = operation(VERIFY_OTP, variables=variables)
        response = await connect(app).http.post("/graphql", content=body, headers=JSON | headers)
        assert_refusal(response, 403)
        assert "Set-Cookie" not in response.headers
    assert (await stranger.verify_otp(registered["challenge"], otp))["__typename"] == "EnrollmentConfirmed"


@pytest.mark.parametrize("query", [POLICY, "{ me { id } }"])
async def test_queries_by_post_follow_the_same_rule(browser: Browser, query: str) -> None:
    for headers in ({}, OWN_SCRIPT | {"Origin": "https://evil.example"}):
        assert_refusal(await browser.attack(headers, query), 403)


async def test_a_page_of_a_foreign_origin_is_refused_whatever_it_sends(
    browser: Browser, subtests: pytest.Subtests
) -> None:
    foreign = {"Origin": "https://evil.example"}

    for body, headers in [(b"", JSON), (b" " * 70_000, JSON), (operation(), {})]:
        with subtests.test(body=body, headers=headers):
            assert_refusal(await browser.api.http.post("/graphql", content=body, headers=headers | foreign), 403)


async def test_the_required_header_may_have_any_value(browser: Browser, subtests: pytest.Subtests) -> None:
    await browser.api.member()

    for value in ["true", "1", "", "anything at all"]:
        with subtests.test(value=value):
            response = await browser.attack({"graphql-require-preflight": value, "Origin": "http://testserver"})
            assert response.json()["data"]["refreshSession"]["__typename"] == "SignedIn"


async def test_same_origin_pages_listed_pages_and_programs_may_use_the_cookie(
    browser: Browser, subtests: pytest.Subtests
) -> None:
    await browser.api.member()

    for host, origin in [
        ("id.example", "https://id.example"),  # behind a proxy with TLS, which speaks plain HTTP to us
        ("ID.Example", "https://id.example"),
        ("id.example:8443", "https://id.example:8443"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("id.example", LISTED),
        ("id.example", None),  # a program
    ]:
        with subtests.test(host=host, origin=origin):
            headers = OWN_SCRIPT | {"Host": host}
            response = await browser.attack(headers if origin is None else headers | {"Origin": origin})
            assert response.json()["data"]["refreshSession"]["__typename"] == "SignedIn"
            assert_headers(response)


async def test_a_same_origin_page_may_use_the_cookie_behind_a_proxy_that_changes_the_host(
    browser: Browser, subtests: pytest.Subtests
) -> None:
    """nginx omits the port with `Host $host`, Vite changes the host with `changeOrigin`; browsers compare origins."""
    await browser.api.member()
    cookie = browser.cookie

    for host, origin in [("id.example", "https://id.example:8443"), ("127.0.0.1:8000", "http://localhost:5173")]:
        headers = OWN_SCRIPT | {"Host": host, "Origin": origin}
        for site in ("same-site", "cross-site", "none", "Same-Origin", "same-origin, cross-site", ""):
            with subtests.test(host=host, site=site):
                response = await browser.attack(headers | {"Sec-Fetch-Site": site})
                assert_refusal(response, 403)
                assert "pass on the Host header with its port" in messages(response)[0]
        assert browser.cookie == cookie
        response = await browser.attack(headers | {"Sec-Fetch-Site": "same-origin"})
        assert response.json()["data"]["refreshSession"]["__typename"] == "SignedIn"
        cookie = browser.cookie


async def test_a_same_origin_page_needs_the_header_too(browser: Browser) -> None:
    """An injected form is same-origin."""
    await browser.api.member()
    assert_refusal(await browser.attack({"Sec-Fetch-Site": "same-origin"}), 403)


async def test_a_link_uses_the_cookie(browser: Browser, services: Services, subtests: pytest.Subtests) -> None:
    await browser.api.member()
    cookie = browser.cookie

    for query, method in itertools.product([REFRESH_SESSION, LOGOUT], ["GET", "HEAD"]):
        with subtests.test(query=query, method=method):
            response = await browser.api.http.request(method, "/graphql", params={"query": query})
            assert response.status_code == 405
            assert "Set-Cookie" not in response.headers
            await assert_unharmed(browser, cookie, services)
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_queries_by_get_neither_need_the_header_nor_read_the_cookie(browser: Browser) -> None:
    await browser.api.member()
    headers = {"Cookie": f"{COOKIE}={browser.cookie}", "Origin": LISTED}
    response = await browser.api.http.get("/graphql", params={"query": "{ me { id } }"}, headers=headers)
    assert response.json() == {"data": {"me": None}}
    assert "Set-Cookie" not in response.headers
    assert "WWW-Authenticate" not in response.headers


async def test_the_explorer_page_and_health_leave_the_cookie_alone(browser: Browser) -> None:
    await browser.api.member()
    for path in ("/graphql", "/healthz", "/.well-known/jwks.json"):
        response = await browser.api.http.get(path, headers={"Accept": "text/html"})
        assert response.status_code == 200
        assert "Set-Cookie" not in response.headers


# ---------------------------------------------------------------------------------------------------------- odd cookies

ODD = {
    "empty": f"{COOKIE}=",
    "nothing but the name": COOKIE,
    "another name": f"graphql-mfa-refresh={NO_REFRESH_TOKEN}",
    "lower case": f"{COOKIE.lower()}={NO_REFRESH_TOKEN}",
    "unknown": f"{COOKIE}={NO_REFRESH_TOKEN}",
    "an access token": f"{COOKIE}=eyJhbGciOiJFZERTQSJ9.e30.AAAA",
    "quoted": f'{COOKIE}="\\"\\141"',
    "bytes": f"{COOKIE}=\xff\xfe\x80",
    "NUL": f"{COOKIE}=a\0b",
    "separators": ";;;=;=;,",
    "10 kB": f"{COOKIE}=mfar_{'A' * 10_000}",
    "many": "; ".join(f"c{number}=x" for number in range(500)),
}


async def test_an_unknown_cookie_returns_session_expired(browser: Browser, subtests: pytest.Subtests) -> None:
    for name, cookie in ODD.items():
        with subtests.test(name):
            browser.api.http.headers = httpx.Headers(browser.headers | {"Cookie": cookie}, encoding="latin-1")
            refresh = await browser.api.send(REFRESH_SESSION)
            assert refresh.json()["data"]["refreshSession"]["__typename"] == "SessionExpired"
            (dropped,) = refresh.headers.get_list("Set-Cookie")
            assert assert_cookie(dropped) == ("", 0)
            assert (await browser.logout())["__typename"] == "NotAuthenticated"


async def test_a_site_under_the_same_domain_plants_its_own_session(
    browser: Browser, services: Services, subtests: pytest.Subtests
) -> None:
    """Browsers let no other host set `__Host-…`, but they do let it set a name that only becomes that when trimmed."""
    await browser.api.member()
    cookie = browser.cookie

    for name in [f"\xa0{COOKIE}", f"\x85{COOKIE}", f"{COOKIE}\xa0", f"\x1f{COOKIE}"]:
        with subtests.test(name=name):
            headers = OWN_SCRIPT | {"Cookie": f"{name}={cookie}"}
            response = await browser.attack(httpx.Headers(headers, encoding="latin-1"))
            assert response.json()["data"]["refreshSession"]["__typename"] == "SessionExpired"
            browser.cookie = cookie
            await assert_unharmed(browser, cookie, services)
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_a_missing_cookie_returns_session_expired(browser: Browser) -> None:
    assert (await browser.refresh())["__typename"] == "SessionExpired"
    assert (await browser.logout())["reason"] == "TOKEN_MISSING"


async def test_a_cookie_that_is_sent_twice_is_ignored(
    browser: Browser, services: Services, subtests: pytest.Subtests
) -> None:
    """A browser sends it once, so another one was planted."""
    await browser.api.member()
    good = browser.cookie
    for other in (NO_REFRESH_TOKEN, "", "garbage"):
        for cookies in (f"{COOKIE}={good}; {COOKIE}={other}", f"{COOKIE}={other}; {COOKIE}={good}"):
            with subtests.test(cookies=cookies):
                response = await browser.attack(OWN_SCRIPT | {"Cookie": cookies})
                assert response.json()["data"]["refreshSession"]["__typename"] == "SessionExpired"
                browser.cookie = good
                await assert_unharmed(browser, good, services)
    assert (await browser.refresh())["__typename"] == "SignedIn"


async def test_an_argument_takes_precedence_over_the_cookie(browser: Browser) -> None:
    """Explicit arguments take precedence everywhere."""
    member = await browser.api.member()
    first = browser.cookie
    await sign_in(browser, member)
    second = browser.cookie
    assert await browser.api.logout(refresh_token=first) == {"__typename": "LogoutSuccess", "sessionsEnded": 1}
    browser.cookie = first
    assert (await browser.refresh())["__typename"] == "SessionExpired"
    refreshed = await browser.api.refresh(second)
    assert refreshed["tokens"]["refreshToken"] is None
    assert browser.cookie != second


# ---------------------------------------------------------------------------------------------------------- bearer mode


async def test_bearer_mode_ignores_the_cookie(run_app: RunApp, connect: Connect) -> None:
    async with run_app(cors_origins=[LISTED]) as app:
        api = connect(app)
        member = await api.member()
        api.http.headers["Cookie"] = f"{COOKIE}={member.refresh_token}"
        assert (await api.run(REFRESH_SESSION))["__typename"] == "SessionExpired"
        assert (await api.run(LOGOUT))["reason"] == "TOKEN_MISSING"
        assert (await api.refresh(member.refresh_token))["__typename"] == "SignedIn"


async def test_bearer_mode_sets_no_cookie_and_requires_no_header(run_app: RunApp, connect: Connect) -> None:
    cookies: list[str] = []

    async def note(response: httpx.Response) -> None:
        cookies.extend(response.headers.get_list("Set-Cookie"))

    async with run_app() as app:
        api = connect(app)
        api.http.headers["Origin"] = "https://evil.example"  # allowed, because the request has no token
        api.http.event_hooks["response"].append(note)
        member = await api.member()
        refreshed = await api.refresh(member.refresh_token)
        assert refreshed["tokens"]["refreshToken"]
        assert (await api.refresh(NO_REFRESH_TOKEN))["__typename"] == "SessionExpired"
        assert (await api.logout(member.access_token))["__typename"] == "LogoutSuccess"
    assert cookies == []


async def test_a_refresh_that_fails_for_the_hosts_claims_keeps_the_cookie(run_app: RunApp, connect: Connect) -> None:
    away = False

    def claims(_: ClaimsRequest) -> dict[str, object]:
        return {"role": 1 / 0} if away else {"role": "admin"}

    async with run_app(session_transport="cookie", claims=claims) as app:
        browser = Browser(connect(app))
        await browser.api.member()
        before, away = browser.cookie, True
        failed = (await browser.api.send(REFRESH_SESSION)).json()
        assert failed["errors"][0]["message"] == "Internal server error."
        assert browser.cookie == before
        away = False
        assert (await browser.refresh())["__typename"] == "SignedIn"
        assert browser.cookie != before
