"""Bodies that are not a GraphQL operation: each gets a 4xx that repeats nothing of it."""

import gzip
import itertools
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api_client import LOGIN, Api
from tests.http.requests import (
    JSON,
    POLICY,
    assert_headers,
    assert_quiet,
    assert_refusal,
    messages,
    operation,
    post,
    raw,
)

MARKER = "s3cret-Marker"
DEEP = 20_000

# Every body contains the marker where possible, to detect an echo.
BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n\t ",
    "null": b"null",
    "true": b"true",
    "string": f'"{MARKER}"'.encode(),
    "number": b"12345678901234567890",
    "float": b"1.5",
    "array": f'["{MARKER}"]'.encode(),
    "empty array": b"[]",
    "array of operations": b"[" + operation(MARKER) + b"]",
    "object without query": json.dumps({MARKER: MARKER}).encode(),
    "empty object": b"{}",
    "truncated": operation(MARKER)[:-1],
    "truncated in a string": f'{{"query": "{MARKER}'.encode(),
    "truncated in an escape": f'{{"query": "{MARKER}\\u00'.encode(),
    "trailing comma": f'{{"query": "{MARKER}",}}'.encode(),
    "trailing text": operation() + MARKER.encode(),
    "two objects": operation() + operation(MARKER),
    "single quotes": f"{{'query': '{MARKER}'}}".encode(),
    "comment": b"/* */" + operation(MARKER),
    "raw newline in a string": f'{{"query": "{MARKER}\n"}}'.encode(),
    "raw NUL in a string": f'{{"query": "{MARKER}\0"}}'.encode(),
    "NUL after the end": operation() + b"\0",
    "no JSON": MARKER.encode(),
    "GraphQL": f'{{ me(token: "{MARKER}") {{ id }} }}'.encode(),
    "form": f"query={MARKER}".encode(),
    "HTML": f"<b>{MARKER}</b>".encode(),
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep arrays without an end": b"[" * 60_000,
    "deep objects": b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
    "deep variables": b'{"query": "{ me { id } }", "variables": {"a": ' + b"[" * DEEP + b"]" * DEEP + b"}}",
    "deep extensions": b'{"query": "{ me { id } }", "extensions": ' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"}",
    "5,000-digit integer": b'{"query": "{ me { id } }", "variables": {"a": ' + b"9" * 5_000 + b"}}",
    "5,000-digit negative integer": b'{"query": "{ me { id } }", "variables": {"a": -' + b"9" * 5_000 + b"}}",
    "5,000-digit integer as query": b'{"query": ' + b"9" * 5_000 + b"}",
    "NaN": b'{"query": "{ me { id } }", "variables": {"a": NaN}}',
    "Infinity": b'{"query": "{ me { id } }", "variables": {"a": Infinity}}',
    "-Infinity": b'{"query": "{ me { id } }", "variables": {"a": -Infinity}}',
    "NaN as body": b"NaN",
    "hexadecimal": b'{"query": "{ me { id } }", "variables": {"a": 0x10}}',
    "leading zero": b'{"query": "{ me { id } }", "variables": {"a": 010}}',
    "invalid UTF-8": b'{"query": "' + MARKER.encode() + b'\xff\xfe"}',
    "UTF-8 cut inside a character": b'{"query": "' + MARKER.encode() + b'\xf0\x9f\x98"}',
    "overlong UTF-8": b'{"query": "' + MARKER.encode() + b'\xc0\xaf"}',
    "surrogates in UTF-8": b'{"query": "' + MARKER.encode() + b'\xed\xa0\x80"}',
    "Latin-1": f'{{"query": "{MARKER} \u00e9"}}'.encode("latin-1"),
    "UTF-16": operation(MARKER).decode().encode("utf-16"),
    "UTF-32": operation(MARKER).decode().encode("utf-32"),
    "UTF-8 with a byte order mark": b"\xef\xbb\xbf" + operation(MARKER),
    "compressed without saying so": gzip.compress(operation(MARKER)),
}


async def test_body_that_is_no_operation(api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests) -> None:
    for name, body in BODIES.items():
        with subtests.test(name):
            response = await post(api, body)

            assert_refusal(response, 400)
            assert MARKER not in response.text
            assert_quiet(caplog)


LONE = "\ud800"
MEMBERS: dict[str, object] = {
    "query is missing": {"variables": {"a": MARKER}},
    "query is null": {"query": None},
    "query is empty": {"query": ""},
    "query is blank": {"query": " \n"},
    "query is a number": {"query": 17},
    "query is true": {"query": True},
    "query is an array": {"query": [MARKER]},
    "query is an object": {"query": {MARKER: MARKER}},
    "query in capitals": {"QUERY": POLICY},
    "lone surrogate in the query": {"query": f"{{ policy {{ issuer }} }} # {MARKER}{LONE}"},
    "lone surrogate in a literal": {"query": f'{{ me(token: "{MARKER}{LONE}") {{ id }} }}'},
    "query is a lone surrogate": {"query": LONE},
    "operationName is a number": {"query": POLICY, "operationName": 1},
    "operationName is false": {"query": POLICY, "operationName": False},
    "operationName is an array": {"query": POLICY, "operationName": [MARKER]},
    "operationName is an object": {"query": POLICY, "operationName": {MARKER: 1}},
    "operationName is a lone surrogate": {"query": POLICY, "operationName": LONE},
    "operationName is unknown": {"query": POLICY, "operationName": MARKER},
    "operationName is long": {"query": POLICY, "operationName": MARKER * 1_000},
    "variables are a string": {"query": POLICY, "variables": json.dumps({"password": MARKER})},
    "variables are a number": {"query": POLICY, "variables": 0},
    "variables are false": {"query": POLICY, "variables": False},
    "variables are an array": {"query": POLICY, "variables": [MARKER]},
    "variables are an empty array": {"query": POLICY, "variables": []},
    "variables are an empty string": {"query": POLICY, "variables": ""},
    "extensions are a string": {"query": POLICY, "extensions": MARKER},
    "extensions are an array": {"query": POLICY, "extensions": [MARKER]},
    "extensions are a number": {"query": POLICY, "extensions": 0},
    "extensions are false": {"query": POLICY, "extensions": False},
}


async def test_body_with_members_of_wrong_types(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for name, members in MEMBERS.items():
        with subtests.test(name):
            response = await post(api, json.dumps(members))

            assert_refusal(response, 400)
            assert MARKER not in response.text
            assert_quiet(caplog)


LENIENT: list[dict[str, Any]] = [
    {},
    {"operationName": None, "variables": None, "extensions": None},
    {"variables": {}, "extensions": {}},
    {"variables": {"unused": MARKER, LONE: [LONE]}},
    {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "00"}}},
    {"id": 1, "unknown": {"member": [LONE]}},
]


async def test_body_of_a_lenient_client(api: Api, subtests: pytest.Subtests) -> None:
    for members in LENIENT:
        with subtests.test(members=members):
            response = await post(api, operation(**members))

            assert response.status_code == 200
            assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}


async def test_body_with_a_name_twice(api: Api, subtests: pytest.Subtests) -> None:
    """A proxy could read the other one."""
    for body in [
        '{"query": "{ me { id } }", "query": "{ policy { issuer } }"}',
        '{"query": "{ me { id } }", "variables": {"a": {"b": 1, "b": 1}}}',
        '{"query": "{ me { id } }", "qu\\u0065ry": "{ me { id } }"}',
    ]:
        with subtests.test(body=body):
            assert_refusal(await post(api, body), 400)


async def test_query_string_with_a_name_twice(api: Api) -> None:
    assert_refusal(await api.http.get("/graphql?query={me{id}}&query={policy{issuer}}"), 400)


async def test_body_with_a_number_that_is_hardly_one(api: Api, subtests: pytest.Subtests) -> None:
    """Valid JSON numbers beyond a double or 64-bit integer, where a string is expected."""
    for number in ["1e400", "-1e400", "1e-400", "0.1e1000000", "9" * 4_000, "1" + "0" * 300 + ".5"]:
        with subtests.test(number=number):
            variables = f'{{"input": {{"username": {number}, "password": [{number}]}}}}'

            response = await post(api, f'{{"query": {json.dumps(LOGIN)}, "variables": {variables}}}')

            assert response.status_code == 200
            assert len(messages(response)) == 2
            assert "Internal server error." not in messages(response)
            assert number[:12] not in response.text


async def test_limit_of_json_values(api: Api) -> None:
    """Of the whole body: `query`, `variables` and the object in it are three of them."""
    allowed = await post(api, operation(variables={"unused": [1] * 997}))
    refused = await post(api, operation(variables={"unused": [1] * 998}))

    assert allowed.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}
    assert_refusal(refused, 400)
    assert messages(refused) == ["The request has more than 1000 JSON values."]


# ------------------------------------------------------------------------------------------------------- compression


async def test_compressed_body(api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests) -> None:
    """No bomb is unpacked."""
    for encoding in ["gzip", "GZIP", "deflate", "br", "zstd", "x-gzip", "gzip, identity", "unknown", "*"]:
        with subtests.test(encoding=encoding):
            body = zlib.compress(operation()) if encoding == "deflate" else gzip.compress(operation())

            response = await post(api, body, JSON | {"Content-Encoding": encoding})

            assert_refusal(response, 415)
            assert_quiet(caplog)


async def test_body_that_says_it_is_not_compressed(api: Api, subtests: pytest.Subtests) -> None:
    for encoding in ["identity", "Identity"]:
        with subtests.test(encoding=encoding):
            response = await post(api, operation(), JSON | {"Content-Encoding": encoding})

            assert response.status_code == 200


# -------------------------------------------------------------------------------------------------------------- size

LIMIT = 65_536


def padded(size: int) -> bytes:
    """An operation of exactly this many bytes."""
    body = operation() + b" " * (size - len(operation()))
    assert len(body) == size
    return body


async def test_body_around_the_longest_length(api: Api, subtests: pytest.Subtests) -> None:
    for size, status in [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 413), (LIMIT * 100, 413)]:
        with subtests.test(size=size, status=status):
            response = await post(api, padded(size))

            assert response.status_code == status
            assert_headers(response)


class Stream:
    """A body that is made as it is read."""

    def __init__(self, chunks: int, size: int) -> None:
        self.left, self.size, self.read = chunks, size, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.left:
            self.left -= 1
            self.read += self.size
            yield b" " * self.size


async def test_body_without_end_is_refused_before_it_is_read(api: Api, subtests: pytest.Subtests) -> None:
    for size, with_length in itertools.product([1_000, 10_000, 60_000], [False, True]):
        with subtests.test(size=size, with_length=with_length):
            stream = Stream(10_000, size)
            headers = JSON | ({"Content-Length": str(10_000 * size)} if with_length else {})

            response = await api.http.post("/graphql", content=stream, headers=headers)

            assert_refusal(response, 413)
            assert str(LIMIT) in messages(response)[0]
            assert stream.read <= LIMIT + size


async def test_body_in_small_pieces(api: Api) -> None:
    """However it is cut."""
    body = operation()

    async def pieces() -> AsyncIterator[bytes]:
        for byte in body:
            yield bytes([byte])

    response = await api.http.post("/graphql", content=pieces(), headers=JSON)

    assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}


async def test_body_without_end_to_a_real_server(live_server: str, subtests: pytest.Subtests) -> None:
    """The answer comes although most of the body never does."""
    for framing in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"]:
        with subtests.test(framing=framing):
            body = b" " * (LIMIT + 1)
            if "chunked" in framing:
                body = f"{len(body):x}\r\n".encode() + body + b"\r\n"
            head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"

            answer, text = await raw(live_server, head.encode() + body, until=b"}")

            assert answer.startswith(b"HTTP/1.1 413 ")
            assert str(LIMIT).encode() in text


async def test_body_of_two_lengths_to_a_real_server(live_server: str, subtests: pytest.Subtests) -> None:
    """Requests that a proxy could parse differently are refused (RFC 9112 6.3)."""
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Content-Length: -1",
        "Content-Length: x",
    ]:
        with subtests.test(framing=framing):
            head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"

            answer, _ = await raw(live_server, head.encode() + b"0\r\n\r\n")

            assert answer.startswith(b"HTTP/1.1 400 ")
