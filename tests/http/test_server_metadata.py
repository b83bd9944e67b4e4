"""Authorization server metadata (RFC 8414): where it is, and that its members are true."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI

from tests.conftest import Connect

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
PATH = "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    ("issuer", "path", "jwks_uri"),
    [
        pytest.param("https://id.example", PATH, "https://id.example/.well-known/jwks.json", id="a host"),
        pytest.param("https://id.example:8443/", PATH, "https://id.example:8443/.well-known/jwks.json", id="a slash"),
        pytest.param(
            "https://example.com/sign-in/v1",
            f"{PATH}/sign-in/v1",
            "https://example.com/sign-in/v1/.well-known/jwks.json",
            id="a path, which follows the well-known one",
        ),
        pytest.param(
            "https://example.com/a/",
            f"{PATH}/a",
            "https://example.com/a/.well-known/jwks.json",
            id="a path and a slash",
        ),
    ],
)
async def test_metadata_leads_from_the_issuer_to_its_keys(
    run_app: RunApp, connect: Connect, issuer: str, path: str, jwks_uri: str
) -> None:
    async with run_app(token_issuer=issuer) as app:
        http = connect(app).http
        response = await http.get(path)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Cache-Control"] == "public, max-age=300"
        assert response.json() == {
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": [],
            "grant_types_supported": [],
        }
        assert (await http.head(path)).status_code == 200
        assert (await http.post(path)).status_code == 405
        assert (await http.get("/.well-known/jwks.json")).status_code == 200


@pytest.mark.parametrize(
    "issuer",
    [
        *(
            "graphql-mfa",
            "http://id.example",
            "https://",
            "https:///a",
            "https://id.example?a=1",
            "https://id.example#a",
        ),
        *("https://me@id.example", "https://id.example/{path:path}", "https://id.example//a", "https://id.example/a b"),
    ],
)
async def test_an_issuer_that_is_not_an_https_url_has_no_metadata(
    run_app: RunApp, connect: Connect, issuer: str
) -> None:
    async with run_app(token_issuer=issuer) as app:
        for path in (PATH, f"{PATH}/a"):
            assert (await connect(app).http.get(path)).status_code == 404
