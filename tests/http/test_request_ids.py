"""X-Request-ID: the id of a request in its response and in the log."""

import logging
import re
from typing import NoReturn

import pytest

import graphql_mfa.api.sign_in
import graphql_mfa.http.router
from tests.api_client import LOGIN, Api
from tests.http.requests import JSON, POLICY, operation, post, request_lines

GIVEN = "8f14e45f-ceea-467f-a0e6/7.A_b:c+d="
INPUT = {"input": {"username": "alice", "password": "correct horse battery staple"}}


def assert_own_id(given: str) -> None:
    """Whether the server generated the id."""
    assert re.fullmatch(r"[0-9a-f]{32}", given)


async def test_the_request_id_of_the_client_is_used(api: Api, subtests: pytest.Subtests) -> None:
    for given in ["x", "1", GIVEN, "a" * 128]:
        with subtests.test(given=given):
            response = await post(api, operation(), JSON | {"X-Request-ID": given})
            assert response.headers.get_list("X-Request-ID") == [given]


async def test_a_refused_request_keeps_its_id(api: Api, subtests: pytest.Subtests) -> None:
    for content, content_type, status in [
        (operation("{ nothing }"), "application/json", 200),
        (operation("{"), "application/json", 200),
        (b"{", "application/json", 400),
        (operation(), "text/plain", 415),
        (b" " * 70_000, "application/json", 413),
        (operation("subscription { me }"), "application/json", 400),
    ]:
        with subtests.test(content=content, content_type=content_type, status=status):
            response = await post(api, content, {"Content-Type": content_type, "X-Request-ID": GIVEN})
            assert response.status_code == status
            assert response.headers["X-Request-ID"] == GIVEN


async def test_a_request_of_any_method_keeps_its_id(api: Api, subtests: pytest.Subtests) -> None:
    for method in ["GET", "HEAD", "PUT", "OPTIONS"]:
        with subtests.test(method=method):
            response = await api.http.request(
                method, "/graphql", params={"query": POLICY}, headers={"X-Request-ID": GIVEN}
            )
            assert response.headers["X-Request-ID"] == GIVEN


async def test_requests_without_an_id_get_a_new_one(api: Api) -> None:
    names = [(await post(api, operation())).headers["X-Request-ID"] for _ in range(5)]
    for name in names:
        assert_own_id(name)
    assert len(set(names)) == 5


async def test_an_id_that_is_unsafe_to_log_is_replaced(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    caplog.set_level(logging.INFO, "graphql_mfa.requests")

    for given in [
        "",
        "a" * 129,
        "a" * 5000,
        "two words",
        "line\nbreak",
        "line\r\nX-Evil: 1",
        "tab\t",
        "nul\0",
        "\x1b[2J",
        "\x7f",
        "ünïcode",
        "ú",  # its two bytes are letters in Latin-1, as which headers are read
        "\uff11\uff12\uff13",
        'a"b',
        "a'b",
        "a,b",
        "<b>",
        "%0a",
        "{}",
        "a;b",
        "\\n",
    ]:
        with subtests.test(given=given):
            caplog.clear()
            headers = [(b"Content-Type", b"application/json"), (b"X-Request-ID", given.encode())]
            response = await api.http.post("/graphql", content=operation(), headers=headers)

            assert_own_id(response.headers["X-Request-ID"])
            assert "X-Evil" not in response.headers
            assert [line["request_id"] for line in request_lines(caplog)] == [response.headers["X-Request-ID"]]


async def test_a_request_has_its_id_in_the_log(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    caplog.set_level(logging.INFO, "graphql_mfa.requests")

    for content in [operation(), b"{"]:
        with subtests.test(content=content):
            caplog.clear()
            await post(api, content, JSON | {"X-Request-ID": GIVEN})
            assert [line["request_id"] for line in request_lines(caplog)] == [GIVEN]


async def test_an_unexpected_error_of_a_resolver_is_logged_with_the_request_id(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(graphql_mfa.api.sign_in, "login", broken)

    response = await post(api, operation(LOGIN, variables=INPUT), JSON | {"X-Request-ID": GIVEN})

    assert response.headers["X-Request-ID"] == GIVEN
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"request {GIVEN}, mutation Login at ['login']" in error.getMessage()


async def test_an_unexpected_error_outside_an_operation_is_logged_with_the_request_id(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(graphql_mfa.http.router, "read_operation", broken)

    response = await post(api, operation(), JSON | {"X-Request-ID": GIVEN})

    assert response.status_code == 500
    assert response.headers["X-Request-ID"] == GIVEN
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert GIVEN in error.getMessage()
