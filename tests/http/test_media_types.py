"""The media types of requests and responses."""

import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import strawberry
from fastapi import FastAPI

from graphql_mfa import Settings
from graphql_mfa.api.root import Query
from graphql_mfa.mfa import GraphQLMFA
from tests.api_client import LOGOUT, Api
from tests.conftest import Connect
from tests.http.requests import JSON, POLICY, assert_headers, assert_quiet, assert_refusal, operation, post

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]

GRAPHQL_JSON = "application/graphql-response+json"


@strawberry.type(name="Query")
class Echo(Query):
    """A host's query whose resolver echoes its argument."""

    @strawberry.field
    def echo(self, text: str) -> str:
        return text


# ----------------------------------------------------------------------------------------------------------- requests


async def test_body_of_another_media_type(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    """Those a browser sends to other sites without asking are among them."""
    for media_type in [
        None,
        "",
        "text/plain",
        "text/plain; charset=utf-8",
        "text/html",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/mixed; boundary=x",
        "application/graphql",
        "application/graphql+json",
        GRAPHQL_JSON,
        "application/octet-stream",
        "application/json-seq",
        "application/jsonx",
        "application/xjson",
        "text/json",
        "json",
        "application",
        "application/",
        "/json",
        "*/*",
        "application/*",
        "text/plain, application/json",
        "text/plain; application/json",
        "text/plain; type=application/json",
        "application /json",
    ]:
        with subtests.test(media_type=media_type):
            response = await post(api, operation(LOGOUT), {} if media_type is None else {"Content-Type": media_type})

            assert_refusal(response, 415)
            assert_quiet(caplog)


async def test_body_of_json(api: Api, subtests: pytest.Subtests) -> None:
    for media_type in [
        "application/json",
        "APPLICATION/JSON",
        "Application/Json;charset=UTF-8",
        "application/json; charset=utf-8",
        "application/json; charset=utf8",
        'application/json; charset="utf-8"',
        "application/json ; charset=UTF-8",
        "application/json;",
        "application/json; odata=verbose",
    ]:
        with subtests.test(media_type=media_type):
            response = await post(api, operation(), {"Content-Type": media_type})

            assert response.status_code == 200
            assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}


async def test_body_in_another_charset(api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests) -> None:
    """Python would decode rot13."""
    for charset in [
        "latin-1",
        "iso-8859-1",
        "utf-16",
        "utf-16le",
        "utf-7",
        "us-ascii",
        "rot13",
        "base64",
        '""',
        "x" * 999,
    ]:
        with subtests.test(charset=charset):
            response = await post(api, operation(), {"Content-Type": f"application/json; charset={charset}"})

            assert_refusal(response, 415)
            assert_quiet(caplog)


async def test_media_type_with_hostile_parameters(
    api: Api, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    """No value of the header leads to a 5xx."""
    for parameters in [
        "charset*=utf-8''utf-16",
        "charset*=bogus'en'%ff",
        "charset*0=utf; charset*1=-16",
        "charset*0*=utf-8''%",
        f"charset*{'9' * 5_000}=utf-8",
        f"charset*{'9' * 5_000}*=utf-8",
        "charset*9999999999=utf-8",
        "; ; ;",
        "=;=;=",
        '"',
        'charset="utf-8',
        "charset=\x80\xff",
        "charset",
    ]:
        with subtests.test(parameters=parameters):
            headers = {b"Content-Type": f"application/json; {parameters}".encode("latin-1")}

            response = await api.http.post("/graphql", content=operation(), headers=headers)

            assert response.status_code in {200, 400, 415}, response.text
            assert_headers(response)
            assert_quiet(caplog)


async def test_media_type_that_is_costly_to_parse(api: Api, subtests: pytest.Subtests) -> None:
    """Parsing must be linear, since one request could block the event loop otherwise."""
    for unit in [";", "=;", '";', "a=b;", "\\;", " "]:
        with subtests.test(unit=unit):
            media_type = f'application/json; x="{unit * (80_000 // len(unit))}'

            response = await post(api, operation(), {"Content-Type": media_type})

            assert response.status_code in {200, 400, 415}


async def test_accept_that_is_costly_to_parse(api: Api, subtests: pytest.Subtests) -> None:
    for start, unit in itertools.product(
        ["", '"', 'application/json;x="'], [",", ";", ";q=", ";q=0.", '"', '\\"', '",', "*/*,", "a/b;q=1,", " "]
    ):
        with subtests.test(start=start, unit=unit):
            response = await post(api, operation(), JSON | {"Accept": start + unit * (40_000 // len(unit)) + "x"})

            assert response.status_code == 200
            assert response.json() == {"data": {"policy": {"issuer": "GraphQL MFA"}}}


async def test_media_type_that_is_long(api: Api) -> None:
    response = await post(api, operation(), {"Content-Type": "application/json" + "x" * 500_000})

    assert_refusal(response, 415)


# ------------------------------------------------------------------------------------------------------------ answers


async def test_answer_in_the_media_type_that_is_accepted(api: Api, subtests: pytest.Subtests) -> None:
    del api.http.headers["Accept"]
    for method, (accept, media_type) in itertools.product(
        ["GET", "POST"],
        [
            (None, "application/json"),
            ("*/*", "application/json"),
            ("application/*", "application/json"),
            ("application/json", "application/json"),
            ("application/json; charset=utf-8", "application/json"),
            ("text/html", "application/json"),
            ("image/png", "application/json"),
            ("", "application/json"),
            (GRAPHQL_JSON, GRAPHQL_JSON),
            (f"{GRAPHQL_JSON}; charset=utf-8", GRAPHQL_JSON),
            (f"{GRAPHQL_JSON}, application/json;q=0.9", GRAPHQL_JSON),
            (f"application/json;q=0.9, {GRAPHQL_JSON}", GRAPHQL_JSON),
            (f"{GRAPHQL_JSON}, */*;q=0.1", GRAPHQL_JSON),
            (GRAPHQL_JSON.upper(), GRAPHQL_JSON),
            (f"{GRAPHQL_JSON};q=0, application/json", "application/json"),
            (f"{GRAPHQL_JSON}x", "application/json"),
            (f'application/json;profile="{GRAPHQL_JSON}"', "application/json"),
        ],
    ):
        with subtests.test(method=method, accept=accept, media_type=media_type):
            headers = {} if accept is None else {"Accept": accept}
            if method == "GET":
                response = await api.http.get("/graphql", params={"query": POLICY}, headers=headers)
            else:
                response = await post(api, operation(), JSON | headers)

            assert response.status_code == 200
            assert response.headers["Content-Type"] == f"{media_type}; charset=utf-8"
            assert_headers(response)


async def test_answer_to_a_document_that_does_not_run(api: Api, subtests: pytest.Subtests) -> None:
    """Old clients expect 200 with application/json; the newer media type has a status for it."""
    for query in ["{", "{ unknown }", "{ policy }", "query A { policy { issuer } } query B { policy { issuer } }"]:
        with subtests.test(query=query):
            old = await post(api, operation(query), JSON | {"Accept": "application/json"})
            new = await post(api, operation(query), JSON | {"Accept": GRAPHQL_JSON})

            assert old.status_code == 200
            assert_refusal(new, 400)
            assert old.content == new.content
            assert_headers(old)


async def test_answer_to_variables_that_do_not_fit(api: Api) -> None:
    query = "query ($yes: Boolean!) { policy @include(if: $yes) { issuer } }"
    old = await post(api, operation(query, variables={"yes": "no"}), JSON | {"Accept": "application/json"})
    new = await post(api, operation(query, variables={"yes": "no"}), JSON | {"Accept": GRAPHQL_JSON})

    assert old.status_code == 200
    assert_refusal(new, 400)
    assert old.content == new.content


async def test_answer_is_utf_8_without_escapes(run_app: RunApp, connect: Connect) -> None:
    """ASCII escapes would take up to three times as many bytes."""
    issuer = "Z\u00fcrich \U0001f9a6"
    async with run_app(issuer=issuer) as app:
        response = await post(connect(app), operation("{ policy { issuer } }"))

    assert issuer.encode() in response.content
    assert response.headers["Content-Type"].endswith("; charset=utf-8")
    assert response.headers["Content-Length"] == str(len(response.content))


async def test_answer_escapes_lone_surrogates(make_settings: Callable[..., Settings], connect: Connect) -> None:
    """A lone surrogate, which a host's resolver may have from a client's variables."""
    mfa = GraphQLMFA(make_settings(), query=Echo)
    app = FastAPI()
    app.include_router(mfa.router())
    async with mfa.lifespan():
        body = operation("query ($text: String!) { echo(text: $text) }", variables={"text": "\ud800 \u00fc"})
        response = await post(connect(app), body)

    assert response.status_code == 200
    assert response.content == b'{"data":{"echo":"\\ud800 \xc3\xbc"}}'
    assert response.json() == {"data": {"echo": "\ud800 \u00fc"}}
