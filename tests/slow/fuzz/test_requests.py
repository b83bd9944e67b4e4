"""Requests that no client sends: any bytes, headers and query strings are answered, at worst with a refusal."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from tests.api_client import LOGIN, ME, Api
from tests.conftest import Connect
from tests.http.requests import POLICY, operation, post
from tests.slow.fuzz.answers import FUZZ, MARKER, assert_answer
from tests.slow.fuzz.limits import NO_LIMITS

COOKIES = {
    "session_transport": "cookie",
    "cors_origins": "https://app.example",
    "trusted_proxies": "10.0.0.0/8",
    "introspection": False,
}


@pytest.fixture(params=[{}, COOKIES], ids=["bearer", "cookie"])
async def api(
    run_app: Callable[..., AbstractAsyncContextManager[FastAPI]], connect: Connect, request: pytest.FixtureRequest
) -> AsyncIterator[Api]:
    """A client of a server with other settings at the edge."""
    async with run_app(**NO_LIMITS, **request.param) as app:
        yield connect(app)


# ------------------------------------------------------------------------------------------------------------- bodies

BODY = json.dumps(
    {
        "query": LOGIN,
        "variables": {"input": {"username": "alice", "password": MARKER}},
        "operationName": "Login",
        "extensions": {},
    }
).encode()
# JSON spellings that a mistake in one layer could produce.
PIECES = [
    b'"',
    b"\\",
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\xed\xa0\x80",
    b"\0",
    b"{",
    b"}",
    b"[",
    b",",
    b"1e999",
    b"NaN",
]


@st.composite
def mutated_bodies(draw: st.DrawFn) -> bytes:
    """A body of which some bytes are lost or strange."""
    body = BODY
    for _ in range(draw(st.integers(1, 3))):
        at, lost = draw(st.integers(0, len(body))), draw(st.sampled_from([0, 1, 1, 8, 1_000]))
        body = body[:at] + draw(st.sampled_from(PIECES) | st.binary(max_size=3)) + body[at + lost :]
    return body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
members = st.fixed_dictionaries(
    {},
    optional={
        "query": st.sampled_from([POLICY, ME, LOGIN, ""]) | json_values,
        "variables": json_values,
        "operationName": st.sampled_from(["Me", "Login", ""]) | json_values,
        "extensions": json_values,
        "documentId": json_values,
    },
)
bodies = st.one_of(
    mutated_bodies(),
    st.binary(max_size=100),
    (json_values | members).map(lambda value: json.dumps(value).encode()),
    st.builds(lambda text, codec: text.encode(codec), st.text(), st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])),
)


@FUZZ
@given(body=bodies)
async def test_a_body_of_any_bytes_is_answered(api: Api, body: bytes) -> None:
    response = await post(api, body, {"Content-Type": "application/json", "GraphQL-Require-Preflight": "1"})

    assert_answer(response)


# ------------------------------------------------------------------------------------------------------------ headers

anything = st.binary(max_size=40).filter(lambda value: not set(value) & set(b"\0\r\n"))
HEADERS = {
    b"Content-Type": [
        b"application/json",
        b"application/json; charset=utf-16",
        b'application/json; a="',
        b"text/plain",
    ],
    b"Content-Encoding": [b"gzip", b"identity", b"identity, br"],
    b"Accept": [b"application/graphql-response+json", b"*/*;q=0", b"application/json;q=1e9", b'text/html; a="\\'],
    b"Authorization": [b"Bearer", b"Bearer ", b"bearer a.b.c", b"Basic YTpi", b"Bearer " + b"." * 5_000],
    b"Cookie": [b"__Host-graphql-mfa-refresh=mfar_" + b"x" * 43, b"=;=;;", b'__Host-graphql-mfa-refresh="\\999"'],
    b"Origin": [b"null", b"https://app.example", b"http://testserver", b"//", b"https://[::1"],
    b"Host": [b"", b"[", b"testserver:99999", b"a@b/c?d#e"],
    b"X-Forwarded-For": [b"10.0.0.1, 192.0.2.1", b"::1%eth0", b"[::]:1, ,", b"1.2.3.4:80", b"," * 5_000, b"999.1.1.1"],
    b"X-Request-ID": [b"a" * 200, b"%s%n", b"req-1"],
    b"traceparent": [b"00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-ff"],
    b"tracestate": [b"a=b,c", b"," * 600],
    b"baggage": [b"a=%ff;b,=", b"," * 600, b"a=" + b"b" * 9_000],
    b"GraphQL-Require-Preflight": [b"", b"1"],
}
header_lists = st.lists(
    st.one_of([st.tuples(st.just(name), st.sampled_from(values) | anything) for name, values in HEADERS.items()]),
    max_size=8,
)


@FUZZ
@given(
    document=st.sampled_from(
        [POLICY, ME, "mutation { refreshSession { __typename } }", "mutation { logout { __typename } }"]
    ),
    headers=header_lists,
    plain=st.booleans(),
    method=st.sampled_from(["GET", "POST", "POST"]),
)
async def test_headers_of_any_bytes_are_answered(
    api: Api, document: str, headers: list[tuple[bytes, bytes]], plain: bool, method: str
) -> None:
    usual = [(b"Content-Type", b"application/json"), (b"GraphQL-Require-Preflight", b"1")] if plain else []
    secret = [(b"Cookie", f"__Host-graphql-mfa-refresh=mfar_{MARKER}{'x' * 35}".encode())]
    request = {"content": operation(document)} if method == "POST" else {"params": {"query": document}}

    response = await api.http.request(method, "/graphql", headers=[*usual, *headers, *secret], **request)

    assert_answer(response)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


jwt_headers = st.fixed_dictionaries(
    {"alg": st.sampled_from(["EdDSA", "EdDSA", "none", "HS256"]) | json_values},
    optional={
        "typ": st.just("at+jwt") | json_values,
        "kid": st.just("KID") | json_values,  # which stands for a key's
        "crit": json_values,
        "b64": json_values,
        "jwk": json_values,
    },
)
jwt_parts = (jwt_headers | jwt_headers | json_values).map(lambda value: json.dumps(value).encode()) | st.binary(
    max_size=20
)


@FUZZ
@given(parts=st.lists(jwt_parts, min_size=1, max_size=4), junk=st.text("=.~ é", max_size=2))
async def test_an_arbitrary_access_token_is_not_accepted(api: Api, parts: list[bytes], junk: str) -> None:
    jwks = await api.http.get("/.well-known/jwks.json")
    kid = jwks.json()["keys"][0]["kid"].encode()
    token = (".".join(base64url(part.replace(b"KID", kid)) for part in parts) + junk).encode("latin-1")

    response = await api.http.get("/graphql", params={"query": ME}, headers=[(b"Authorization", b"Bearer " + token)])

    assert_answer(response)
    assert response.json() == {"data": {"me": None}}
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


# ------------------------------------------------------------------------------------------------------ query strings

parameters = st.lists(
    st.tuples(
        st.sampled_from(["query", "variables", "operationName", "extensions", "documentId", "x"]),
        st.sampled_from([POLICY, ME, LOGIN, "{}", "null", "[]", "Me", '{"a":NaN}', "[" * 2_000])
        | json_values.map(json.dumps)
        | st.text(max_size=20),
    ),
    max_size=5,
)
query_strings = parameters.map(lambda pairs: urlencode(pairs).encode()) | st.text(
    "%=&+;aF0é\ud800{}[]", max_size=20
).map(lambda text: b"query=" + text.encode("ascii", "backslashreplace"))


@FUZZ
@given(query=query_strings)
async def test_a_query_string_of_any_text_is_answered(api: Api, query: bytes) -> None:
    response = await api.http.get(httpx.URL("/graphql", query=query))

    assert_answer(response)


@FUZZ
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]),
    path=st.sampled_from(["/graphql", "/graphql/", "/graphql/explorer/", "/healthz", "/.well-known/jwks.json"]).flatmap(
        lambda start: st.text("./%25\\éa", max_size=8).map(start.__add__)
    ),
    headers=header_lists,
)
async def test_no_path_fails(api: Api, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> None:
    response = await api.http.request(method, httpx.URL("http://testserver").copy_with(path=path), headers=headers)

    assert response.status_code < 500
