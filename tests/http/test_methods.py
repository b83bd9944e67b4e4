"""Which HTTP methods do what: GET reads, POST acts, nothing else does anything."""

import itertools
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from starlette.types import Message

from graphql_mfa.services import Services
from tests.api_client import LOGIN, LOGOUT, ME, PASSWORD, REGISTER_USER, Api
from tests.http.requests import JSON, POLICY, assert_headers, assert_quiet, assert_refusal, operation, post, raw
from tests.security.attacks import scalar

REGISTER_ALICE = f'mutation {{ registerUser(input: {{username: "alice", password: "{PASSWORD}"}}) {{ __typename }} }}'


def http_scope(query_string: bytes) -> dict[str, Any]:
    """The ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": query_string,
        "root_path": "",
        "headers": [(b"host", b"testserver")],
        "client": ("10.0.0.1", 1),
        "server": ("testserver", 80),
        "state": {},
    }


async def run(app: FastAPI, scope: dict[str, Any], *received: Message) -> list[Message]:
    """Return the messages that the application sends in response."""
    left, sent = list(received), []

    async def receive() -> Message:
        return left.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def call(app: FastAPI, scope: dict[str, Any]) -> tuple[Message, bytes]:
    """Start and body of the answer to a request without a body."""
    start, *rest = await run(app, scope, {"type": "http.request", "body": b"", "more_body": False})
    return start, b"".join(message["body"] for message in rest)


async def accounts(services: Services) -> int:
    count: int = await scalar(services, "SELECT count(*) FROM mfa_users")
    return count


# ---------------------------------------------------------------------------------------------------------------- GET


async def test_get_runs_a_query(api: Api) -> None:
    response = await api.http.get("/graphql", params={"query": POLICY})

    assert response.status_code == 200
    assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}
    assert_headers(response)


async def test_get_reads_the_access_token(api: Api) -> None:
    member = await api.member()

    response = await api.http.get(
        "/graphql", params={"query": ME}, headers={"Authorization": f"Bearer {member.access_token}"}
    )

    assert response.json()["data"]["me"]["username"] == "alice"
    assert response.headers["Cache-Control"] == "no-store"


async def test_get_parses_variables_and_operation_name(api: Api) -> None:
    query = "query A($yes: Boolean!) { policy { issuer @include(if: $yes) otpDigits } } query B { me { id } }"
    for yes, shown in ((True, {"issuer": "GraphQL MFA", "otpDigits": 6}), (False, {"otpDigits": 6})):
        variables = json.dumps({"yes": yes})
        response = await api.http.get(
            "/graphql", params={"query": query, "variables": variables, "operationName": "A", "extensions": "{}"}
        )
        assert response.json() == {"data": {"policy": shown}}


async def test_get_treats_an_empty_parameter_as_missing(api: Api, subtests: pytest.Subtests) -> None:
    """GraphQL over HTTP says so of operationName; forms send the others so as well."""
    for name in ["variables", "extensions", "operationName"]:
        with subtests.test(name=name):
            response = await api.http.get("/graphql", params={"query": POLICY, name: ""})

            assert response.status_code == 200
            assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}


async def test_get_with_a_malformed_query_string(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for query_string in [
        "",
        "query=",
        "query=%20",
        "Query=" + POLICY,
        "query=%ff%fe",
        "query=%00",
        "variables={}",
        f"query={POLICY}&variables=x",
        f"query={POLICY}&variables=[]",
        f"query={POLICY}&variables=1",
        f"query={POLICY}&variables=null0",
        f"query={POLICY}&variables=%22s%22",
        f"query={POLICY}&variables=%ff",
        f"query={POLICY}&variables=" + "[" * 20_000,
        f"query={POLICY}&variables=" + "9" * 5_000,
        f"query={POLICY}&variables=" + '{"a":NaN}',
        f"query={POLICY}&extensions=x",
        f"query={POLICY}&extensions=[]",
        f"query={POLICY}&operationName=Unknown",
        f"query={POLICY}&operationName=%ed%a0%80",
        "&" * 20_000,
        "=" * 20_000,
        ";" * 20_000,
        "%" * 20_000,
        "a=1&" * 15_000,
    ]:
        with subtests.test(query_string=query_string):
            response = await api.http.get(f"/graphql?{query_string}")

            assert response.status_code in {200, 400}
            if response.status_code == 200:  # it was read, and is no document
                assert response.json()["errors"][0]["message"].startswith("Syntax Error")
            else:
                assert_refusal(response, 400)
            assert_quiet(caplog)


async def test_get_with_a_query_string_around_the_longest_length(app: FastAPI, subtests: pytest.Subtests) -> None:
    for length, status in [(65_536, 200), (65_537, 414), (1_000_000, 414)]:
        with subtests.test(length=length, status=status):
            query_string = b"query={policy{otpDigits}}&unused="
            query_string += b"x" * (length - len(query_string))

            start, body = await call(app, http_scope(query_string))

            assert start["status"] == status
            assert (b"65536" in body) == (status == 414)


async def test_get_with_a_long_query_string_to_a_real_server(live_server: str, subtests: pytest.Subtests) -> None:
    """The head of a request is bounded before its query string is; either way it is answered."""
    for length in [16_000, 17_000, 1_000_000]:
        with subtests.test(length=length):
            request = f"GET /graphql?query={{me{{id}}}}&unused={'x' * length} HTTP/1.1\r\nHost: x\r\n\r\n"

            head, _ = await raw(live_server, request.encode())

            assert head.split(b" ")[1] == (b"200" if length == 16_000 else b"414")


async def test_get_runs_no_mutation(api: Api, services: Services, subtests: pytest.Subtests) -> None:
    """A link, an image or a prefetch must not act."""
    for (query, operation_name), method in itertools.product(
        [
            (REGISTER_ALICE, None),
            (REGISTER_ALICE.replace("mutation", "mutation M"), "M"),
            (f"query Q {POLICY} {REGISTER_ALICE.replace('mutation', 'mutation M')}", "M"),
            (f"fragment F on Mutation {REGISTER_ALICE.removeprefix('mutation')} mutation {{ ...F }}", None),
            (REGISTER_ALICE.replace("{ __typename }", "@include(if: true) { __typename }"), None),
        ],
        ["GET", "HEAD"],
    ):
        with subtests.test(query=query, operation_name=operation_name, method=method):
            parameters = {"query": query} | ({"operationName": operation_name} if operation_name else {})

            response = await api.http.request(method, "/graphql", params=parameters)

            assert response.status_code == 405
            assert response.headers["Allow"] == "POST"
            assert_headers(response)
            if method == "GET":
                assert_refusal(response, 405)
            assert await accounts(services) == 0


async def test_get_runs_the_query_beside_a_mutation(api: Api, services: Services) -> None:
    query = f"query Q {POLICY} {REGISTER_ALICE.replace('mutation', 'mutation M')}"

    response = await api.http.get("/graphql", params={"query": query, "operationName": "Q"})

    assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}
    assert await accounts(services) == 0


async def test_get_with_variables_runs_no_mutation(api: Api, services: Services) -> None:
    variables = json.dumps({"input": {"username": "alice", "password": PASSWORD}})

    response = await api.http.get("/graphql", params={"query": REGISTER_USER, "variables": variables})

    assert response.status_code == 405
    assert PASSWORD not in response.text
    assert await accounts(services) == 0


async def test_get_that_claims_to_be_a_post(api: Api, services: Services, subtests: pytest.Subtests) -> None:
    for headers in [
        {"X-HTTP-Method-Override": "POST"},
        {"X-HTTP-Method": "POST"},
        {"X-Method-Override": "POST"},
        {"Content-Type": "application/json"},
    ]:
        with subtests.test(headers=headers):
            body = json.dumps({"query": REGISTER_ALICE})

            responses = [
                await api.http.request("GET", "/graphql", params={"query": REGISTER_ALICE}, headers=headers),
                await api.http.request("GET", "/graphql", params={"_method": "POST"}, content=body, headers=headers),
                await api.http.request("GET", "/graphql", content=body, headers=headers),
            ]

            assert [response.status_code for response in responses] == [405, 400, 400]
            assert await accounts(services) == 0


async def test_post_does_not_read_the_query_string(api: Api, services: Services) -> None:
    """Where a cross-site form could put it."""
    response = await api.http.post("/graphql", params={"query": REGISTER_ALICE}, headers=JSON, content=b"{}")

    assert_refusal(response, 400)
    assert await accounts(services) == 0


# -------------------------------------------------------------------------------------------------------------- others


async def test_head_answers_like_get_without_a_body(api: Api) -> None:
    headers = {"X-Request-ID": "same"}
    head = await api.http.head("/graphql", params={"query": POLICY}, headers=headers)
    get = await api.http.get("/graphql", params={"query": POLICY}, headers=headers)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


async def test_head_to_a_real_server(live_server: str) -> None:
    """No body follows, or the next answer on the connection would be read wrongly."""
    request = "HEAD /graphql?query=%7Bme%7Bid%7D%7D HTTP/1.1\r\nHost: x\r\n\r\n"
    following = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

    head, rest = await raw(live_server, f"{request}{following}".encode(), until=b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert rest.startswith(b"HTTP/1.1 200 ")


async def test_another_method(
    api: Api, services: Services, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"]:
        with subtests.test(method=method):
            response = await api.http.request(
                method,
                "/graphql",
                params={"query": REGISTER_ALICE},
                content=json.dumps({"query": REGISTER_ALICE}),
                headers=JSON,
            )
            assert response.status_code == 405
            assert {"GET", "POST"} <= {allowed.strip() for allowed in response.headers["Allow"].split(",")}
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            if method != "QUERY":  # a method that Python does not know is answered before it comes to the endpoint
                assert_headers(response)
            assert await accounts(services) == 0
            assert_quiet(caplog)


async def test_method_in_lower_case(app: FastAPI, services: Services, subtests: pytest.Subtests) -> None:
    """It is another method than the one in capitals (RFC 9110 9.1)."""
    for method in ["get", "post"]:
        with subtests.test(method=method):
            query_string = urlencode({"query": REGISTER_ALICE}).encode()
            start, _ = await call(app, http_scope(query_string) | {"method": method})
            assert start["status"] == 405
            assert await accounts(services) == 0


async def test_trailing_slash_does_not_redirect_a_password(api: Api) -> None:
    """A redirect names the scheme and the host that the server sees: behind a TLS proxy plain HTTP, and whatever the
    Host header says. A client would send the password there."""
    body = json.dumps({"query": LOGIN, "variables": {"input": {"username": "alice", "password": PASSWORD}}})

    response = await api.http.post("/graphql/", content=body, headers=JSON | {"Host": "evil.example"})

    assert "Location" not in response.headers
    assert response.status_code == 404


async def test_another_spelling_of_the_path(api: Api, subtests: pytest.Subtests) -> None:
    """A rule of a proxy for /graphql must not be walked around."""
    for path in ["//graphql", "/graphql//", "/GraphQL", "/graphql/..", "/graphql;x", "/graphql%00", "/graphql."]:
        with subtests.test(path=path):
            response = await api.http.post(f"http://testserver{path}", content=operation(), headers=JSON)

            assert response.status_code == (405 if path == "/graphql/.." else 404)  # that is sent as "/"
            assert "Location" not in response.headers


# ----------------------------------------------------------------------------------------------------------- WebSocket


async def test_websocket_at_a_real_server(live_server: str, subtests: pytest.Subtests) -> None:
    """Mutations would run over it, past the limits of HTTP."""
    for protocol in ["graphql-transport-ws", "graphql-ws", None]:
        with subtests.test(protocol=protocol):
            lines = [
                "GET /graphql HTTP/1.1",
                "Host: x",
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                *([f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []),
            ]

            head, _ = await raw(live_server, "\r\n".join([*lines, "", ""]).encode())

            assert head.startswith(b"HTTP/1.1 4")
            assert b"upgrade" not in head.lower()
            assert b"sec-websocket-accept" not in head.lower()


async def test_upgrade_to_another_protocol_at_a_real_server(live_server: str, subtests: pytest.Subtests) -> None:
    for upgrade in ["h2c", "TLS/1.0", "HTTP/2.0"]:
        with subtests.test(upgrade=upgrade):
            lines = ["GET /graphql?query={me{id}} HTTP/1.1", "Host: x", "Connection: Upgrade", f"Upgrade: {upgrade}"]

            head, _ = await raw(live_server, "\r\n".join([*lines, "", ""]).encode())

            assert not head.startswith(b"HTTP/1.1 101")


async def test_websocket_under_another_asgi_server(app: FastAPI, subtests: pytest.Subtests) -> None:
    """One that does speak WebSocket: the application refuses it."""
    for protocol in ["graphql-transport-ws", "graphql-ws"]:
        with subtests.test(protocol=protocol):
            scope = http_scope(b"") | {"type": "websocket", "scheme": "ws", "subprotocols": [protocol]}

            sent = await run(app, scope, {"type": "websocket.connect"})

            assert [message["type"] for message in sent] == ["websocket.close"]


async def test_post_runs_a_mutation(api: Api, services: Services) -> None:
    """Control: the requests refused above are refused because of their method."""
    response = await post(api, operation(REGISTER_ALICE))

    assert response.json() == {"data": {"registerUser": {"__typename": "RegisterUserSuccess"}}}
    assert await accounts(services) == 1
    assert (await post(api, operation(LOGOUT))).json()["data"]["logout"]["reason"] == "TOKEN_MISSING"
