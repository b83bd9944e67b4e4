"""The line that each request gets in the log."""

import json
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from fastapi import FastAPI

import graphql_mfa.api.sign_in
from tests.api_client import LOGIN, PASSWORD, Api
from tests.authenticator import code_at
from tests.conftest import Connect, Server
from tests.http.requests import JSON, POLICY, assert_quiet, operation, post, request_lines
from tests.security.attacks import WRONG_PASSWORD

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
RIGHT = {"input": {"username": "alice", "password": PASSWORD}}
WRONG = {"input": {"username": "alice", "password": WRONG_PASSWORD}}


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    """The level of these lines."""
    caplog.set_level(logging.INFO, "graphql_mfa.requests")


async def test_a_request_logs_one_line_with_its_operation_and_outcomes(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    await api.register()
    caplog.clear()

    response = await api.send(LOGIN, RIGHT)

    (line,) = request_lines(caplog)
    assert line.pop("duration_ms") > 0
    assert line == {
        "level": logging.INFO,
        "message": "mutation Login",
        "outcomes": ["login=OtpRequired"],
        "status": 200,
        "address": "10.0.0.1",
        "request_id": response.headers["X-Request-ID"],
    }


async def test_every_step_of_a_sign_in_has_its_outcome_in_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    member = await api.member()
    await api.login(password=WRONG_PASSWORD)
    challenge = await api.challenge()
    await api.verify_otp(challenge, code_at(member.secret, api.clock()))
    await api.verify_otp(challenge, code_at(member.secret, api.clock()))
    await api.me(member.access_token)
    await api.refresh(member.refresh_token)
    await api.logout(member.access_token)

    assert [(line["message"], *line["outcomes"]) for line in request_lines(caplog)] == [
        ("mutation RegisterUser", "registerUser=RegisterUserSuccess"),
        ("mutation VerifyOtp", "verifyOtp=EnrollmentConfirmed"),
        ("mutation Login", "login=InvalidCredentials"),
        ("mutation Login", "login=OtpRequired"),
        ("mutation VerifyOtp", "verifyOtp=SignedIn"),
        ("mutation VerifyOtp", "verifyOtp=ChallengeExpired"),
        ("query Me",),
        ("mutation RefreshSession", "refreshSession=SignedIn"),
        ("mutation Logout", "logout=LogoutSuccess"),
    ]


async def test_an_operation_is_logged_by_its_kind_and_name(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for document, shown in [
        (POLICY, "query"),
        (f"query {POLICY}", "query"),
        ("query Ask { policy { issuer } }", "query Ask"),
    ]:
        with subtests.test(document=document, shown=shown):
            caplog.clear()
            await api.run(document)
            assert [line["message"] for line in request_lines(caplog)] == [shown]


async def test_only_the_operation_that_ran_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    document = "query One { policy { issuer } } query Other { me { id } }"
    await post(api, operation(document, operationName="Other"))
    assert [line["message"] for line in request_lines(caplog)] == ["query Other"]


async def test_a_refused_request_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    not_json = "The request is not valid JSON, nested too deep, or has a name twice."
    no_operation = "The document has no operation of that name."
    for content, content_type, status, code, reason in [
        (b"{", "application/json", 400, "BAD_REQUEST", not_json),
        (operation(), "text/plain", 415, "BAD_REQUEST", "The body must be application/json."),
        (b" " * 70_000, "application/json", 413, "BAD_REQUEST", "The body is longer than 65536 bytes."),
        (operation("{"), "application/json", 200, "GRAPHQL_PARSE_FAILED", None),
        (operation("{ nothing }"), "application/json", 200, "GRAPHQL_VALIDATION_FAILED", None),
        (operation(operationName="Nobody"), "application/json", 400, "OPERATION_RESOLUTION_FAILURE", no_operation),
        (
            operation("query A { me { id } } query B { me { id } }"),
            "application/json",
            200,
            "OPERATION_RESOLUTION_FAILURE",
            None,
        ),
    ]:
        with subtests.test(content=content, content_type=content_type, status=status):
            caplog.clear()
            response = await post(api, content, {"Content-Type": content_type})

            (line,) = request_lines(caplog)
            assert (line["message"], line["outcomes"], line["status"]) == ("nothing ran", [], status)
            assert (line["errors"], line.get("reason")) == ([code], reason)
            assert [error["extensions"]["code"] for error in response.json()["errors"]] == [code]
            assert line["address"] == "10.0.0.1"
            assert line["request_id"] == response.headers["X-Request-ID"]


async def test_the_refusal_of_another_origins_page_is_logged_with_its_remedy(
    run_app: RunApp, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    page = {"Origin": "https://zebra.example"}
    async with run_app(session_transport="cookie") as app:
        api = connect(app)
        await api.http.options("/graphql", headers=page | {"Access-Control-Request-Method": "POST"})
        await post(api, operation(), JSON)
        await post(api, operation(), JSON | page | {"GraphQL-Require-Preflight": "1"})

    lines = request_lines(caplog)
    assert [(line["status"], line["errors"]) for line in lines] == [
        (405, ["BAD_REQUEST"]),
        (403, ["FORBIDDEN"]),
        (403, ["FORBIDDEN"]),
    ]
    assert ["GRAPHQL_MFA_CORS_ORIGINS" in line["reason"] for line in lines] == [True, False, True]
    assert "GraphQL-Require-Preflight" in lines[1]["reason"]
    assert "zebra" not in repr(lines)


async def test_a_code_that_errors_share_is_logged_once(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise any client could fill the log."""
    response = await api.http.post("/graphql", json={"query": "{ zebra quartz }"})
    assert len(response.json()["errors"]) == 2
    assert [line["errors"] for line in request_lines(caplog)] == [["GRAPHQL_VALIDATION_FAILED"]]


async def test_no_name_that_a_client_chose_is_logged_with_an_error(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for content in [
        operation("{ zebra }"),
        operation("{ policy { issuer @zebra } }"),
        operation("query ($zebra: Zebra) { policy { issuer } }"),
        operation("{ zebra: }"),
        operation(operationName="zebra"),
        operation(LOGIN, variables={"zebra": 1, "input": {"zebra": 1}}),
        b'{"zebra": 1, "zebra": 2}',
        b'{"extensions": {"persistedQuery": {"sha256Hash": "zebra"}}}',
    ]:
        with subtests.test(content=content):
            caplog.clear()
            await post(api, content)
            (line,) = request_lines(caplog)
            assert line["errors"]
            assert "zebra" not in repr(line).lower()


async def test_a_request_of_any_method_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for method, document, status, message in [
        ("GET", POLICY, 200, "query"),
        ("HEAD", POLICY, 200, "query"),
        ("GET", LOGIN, 405, "nothing ran"),
        ("PUT", POLICY, 405, "nothing ran"),
        ("OPTIONS", POLICY, 405, "nothing ran"),
    ]:
        with subtests.test(method=method, document=document, status=status):
            caplog.clear()
            await api.http.request(method, "/graphql", params={"query": document})
            assert [(line["status"], line["message"]) for line in request_lines(caplog)] == [(status, message)]


async def test_a_request_that_fails_is_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(graphql_mfa.api.sign_in, "login", broken)
    await api.send(LOGIN, RIGHT)
    assert [(line["message"], line["outcomes"], line["errors"]) for line in request_lines(caplog)] == [
        ("mutation Login", [], ["INTERNAL_SERVER_ERROR"])
    ]


async def test_the_logged_address_is_the_one_that_limits_use(
    app: FastAPI, connect: Connect, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for peer, shown in [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("nowhere", "unknown"),
    ]:
        with subtests.test(peer=peer, shown=shown):
            caplog.clear()
            await connect(app, peer).run(POLICY)
            assert [line["address"] for line in request_lines(caplog)] == [shown]


async def test_the_logged_address_is_the_one_that_a_trusted_proxy_forwards(
    run_app: RunApp, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_app(trusted_proxies="10.0.0.0/8") as app:
        await post(connect(app, "10.0.0.1"), operation(), JSON | {"X-Forwarded-For": "203.0.113.9"})
    assert [line["address"] for line in request_lines(caplog)] == ["203.0.113.9"]


async def test_the_field_is_logged_instead_of_its_alias(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    await post(api, operation("mutation Alias { secretAlias: logout { __typename } }"))
    (line,) = request_lines(caplog)
    assert line["outcomes"] == ["logout=NotAuthenticated"]
    assert "secretAlias" not in repr(line)


async def test_every_outcome_of_a_repeated_field_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    token = (await api.member()).access_token
    caplog.clear()
    await api.send("mutation { a: logout { __typename } b: logout { __typename } }", token=token)
    assert [line["outcomes"] for line in request_lines(caplog)] == [["logout=LogoutSuccess", "logout=NotAuthenticated"]]


@pytest.mark.parametrize("as_literal", [False, True], ids=["variable", "literal"])
async def test_no_variable_and_no_literal_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture, as_literal: bool
) -> None:
    username, password = "zebra-quartz-user", "zebra-quartz-harmonica"
    values = {"username": username, "password": password}
    literal = f'mutation Run {{ login(input: {{username: "{username}", password: "{password}"}}) {{ __typename }} }}'
    await (api.send(literal) if as_literal else api.send(LOGIN, {"input": values}))
    await api.http.get("/graphql", params={"query": literal, "variables": json.dumps(values)})
    await post(api, json.dumps({"query": f"{{ me(name: {json.dumps(username)}) }}"}).encode())

    lines = request_lines(caplog)
    assert [line["status"] for line in lines] == [200, 405, 200]
    assert "zebra" not in repr(lines)


async def test_a_long_operation_name_is_shortened(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise any client could fill the log."""
    await api.run(f"query {'L' * 1000} {POLICY}")
    (line,) = request_lines(caplog)
    assert line["message"].startswith("query LLL")
    assert len(line["message"]) < 200


async def test_a_real_server_writes_the_lines(tmp_path: Path) -> None:
    """This needs no configuration of logging."""
    server = Server(tmp_path).start()
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        response = await http.post("/graphql", content=operation("query Ask { me { id } }"), headers=JSON)
    log = server.stop()

    assert response.status_code == 200
    (line,) = [line for line in log.splitlines() if "query Ask" in line]
    assert response.headers["X-Request-ID"] in line
    assert "127.0.0.1" in line


async def test_no_header_for_traces_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    """OpenTelemetry's own readers warn of each member that they can't read, and repeat it."""
    for headers in [
        {"baggage": "zebra" * 2000},
        {"baggage": ",".join(["zebra"] * 180)},
        {"baggage": "zebra=" + "b" * 5000},
        {"traceparent": f"00-{'1' * 32}-{'1' * 16}-01", "tracestate": "zebra !"},
    ]:
        with subtests.test(headers=headers):
            caplog.clear()
            response = await post(api, operation(), JSON | headers)

            assert response.status_code == 200
            assert len(request_lines(caplog)) == 1
            assert_quiet(caplog)
