"""Health, readiness and keys, and what they must not reveal."""

import asyncio
import base64
import itertools
import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI
from starlette.routing import Mount

from graphql_mfa.core.keys import KeyRing, new_key
from graphql_mfa.services import Services
from graphql_mfa.store import database
from graphql_mfa.store.outages import UnavailableError
from tests.api_client import Api
from tests.conftest import KEY, Connect, postgresql_only
from tests.http.requests import assert_quiet
from tests.security.attacks import execute


async def test_healthz(api: Api) -> None:
    response = await api.http.get("/healthz")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


async def test_readyz(api: Api) -> None:
    response = await api.http.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


@pytest.mark.usefixtures("schema_that_breaks")
@pytest.mark.parametrize(
    ("damage", "status"),
    [
        ("UPDATE mfa_version SET version_num = '0001'", "The database is not migrated: run `graphql-mfa migrate`."),
        ("DROP TABLE mfa_version", "The database is not migrated: run `graphql-mfa migrate`."),
        ("UPDATE mfa_version SET version_num = '0000'", "The database can't be used; the log says why."),
        ("DELETE FROM mfa_version", "The database can't be used; the log says why."),
        (
            "ALTER TABLE mfa_totp_devices RENAME COLUMN key_id TO key",
            "The database can't be used; the log says why.",
        ),
    ],
)
async def test_readyz_of_a_database_of_an_incompatible_version(
    api: Api, services: Services, caplog: pytest.LogCaptureFixture, damage: str, status: str
) -> None:
    await execute(services, damage)

    response = await api.http.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": status}
    assert str(services.settings.database_url) not in response.text
    assert (await api.http.get("/healthz")).status_code == 200  # the process is well
    assert_quiet(caplog)


@postgresql_only
async def test_log_and_readyz_say_that_a_shared_database_is_not_migrated(
    run_app: Callable[..., AbstractAsyncContextManager[FastAPI]],
    connect: Connect,
    fresh_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with run_app(database_url=fresh_url) as app:
        response = await connect(app).http.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"status": "The database is not migrated: run `graphql-mfa migrate`."}
    assert [record.getMessage() for record in caplog.records] == [
        "The database is not migrated, no table mfa_version was found in it: run `graphql-mfa migrate`."
    ]


async def test_readyz_of_an_unavailable_database(
    app: FastAPI, api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(query: object) -> None:
        raise UnavailableError("connection refused by db.internal.example:5432")

    monkeypatch.setattr(services.database, "read", refuse)

    response = await api.http.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": "The database is unavailable."}


async def test_readyz_of_a_database_that_does_not_answer(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(query: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(services.database, "read", hang)
    monkeypatch.setattr(database, "_PATIENCE_SECONDS", 0)

    assert (await api.http.get("/readyz")).status_code == 503


async def test_readyz_and_log_report_a_missing_key(
    run_app: Callable[..., AbstractAsyncContextManager[FastAPI]], connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    other = new_key()
    async with run_app() as app:
        await connect(app).register()
    assert caplog.text == ""
    async with run_app(secret_keys=other) as app:
        assert "keys which the key ring lacks" in caplog.text
        response = await connect(app).http.get("/readyz")
        assert response.status_code == 503
        assert KeyRing.parse(KEY).current.id.hex() in response.text
        assert KEY not in response.text
        assert (await connect(app).http.get("/healthz")).status_code == 200
    async with run_app(secret_keys=f"{other},decrypt-only:{KEY}") as app:
        assert (await connect(app).http.get("/readyz")).status_code == 200


async def test_jwks_contains_public_keys_only(api: Api, services: Services) -> None:
    response = await api.http.get("/.well-known/jwks.json")

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("application/json")
    key, other = response.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert {name: key[name] for name in ("kty", "crv", "use", "alg")} == {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": "EdDSA",
    }
    Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    assert set(other) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert {name: other[name] for name in ("kty", "crv", "use", "alg")} == {
        "kty": "EC",
        "crv": "P-256",
        "use": "sig",
        "alg": "ES256",
    }
    current = services.key_ring.current
    for private in (
        *(current.material, current.sealing, current.refresh, current.signing.private_bytes_raw()),
        current.signing_p256.private_numbers().private_value.to_bytes(32),
    ):
        assert private.hex() not in response.text
        assert base64.urlsafe_b64encode(private).rstrip(b"=").decode() not in response.text


async def test_jwks_is_cacheable(api: Api) -> None:
    """Shared caches may store it too: it is public."""
    response = await api.http.get("/.well-known/jwks.json")

    directives = [part.strip() for part in response.headers["Cache-Control"].split(",")]
    assert "public" in directives
    (age,) = [int(part.removeprefix("max-age=")) for part in directives if part.startswith("max-age=")]
    assert 0 < age <= 3600
    assert "Set-Cookie" not in response.headers


async def test_an_access_token_can_be_verified_offline_with_jwks(api: Api) -> None:
    """With nothing of ours."""
    member = await api.member()
    key, _ = (await api.http.get("/.well-known/jwks.json")).json()["keys"]
    assert jwt.get_unverified_header(member.access_token) == {"alg": "EdDSA", "typ": "at+jwt", "kid": key["kid"]}

    claims = jwt.decode(
        member.access_token,
        jwt.PyJWK(key).key,
        algorithms=["EdDSA"],
        audience="graphql-mfa",
        issuer="graphql-mfa",
        options={"verify_exp": False, "verify_iat": False},
    )

    assert claims["sub"] == member.session["user"]["id"]
    assert set(claims) == {*("iss", "aud", "client_id", "sub", "sid", "jti", "iat", "exp", "auth_time", "amr", "acr")}
    assert "alice" not in json.dumps(claims)


async def test_service_endpoint_is_read_only(api: Api, subtests: pytest.Subtests) -> None:
    for method, path in itertools.product(
        ["POST", "PUT", "DELETE", "PATCH"], ["/healthz", "/readyz", "/.well-known/jwks.json"]
    ):
        with subtests.test(method=method, path=path):
            assert (await api.http.request(method, path)).status_code == 405


async def test_service_endpoint_answers_head(api: Api, subtests: pytest.Subtests) -> None:
    for path in ["/healthz", "/readyz", "/.well-known/jwks.json"]:
        with subtests.test(path=path):
            response = await api.http.head(path)

            assert response.status_code == 200
            assert response.content == b""


@pytest.mark.parametrize("prefix", ["", "/below/a/path"])
async def test_the_root_redirects_to_the_explorer(
    run_app: Callable[..., AbstractAsyncContextManager[FastAPI]], connect: Connect, prefix: str
) -> None:
    async with run_app(explorer=True) as app:
        http = connect(FastAPI(routes=[Mount(prefix, app)])).http
        http.follow_redirects = True
        response = await http.get(f"{prefix}/", headers={"Accept": "text/html"})

    assert response.url.path == f"{prefix}/graphql"
    assert "graphql-mfa explorer" in response.text


async def test_the_root_of_a_development_server_lists_the_endpoints_through_a_proxy(
    run_app: Callable[..., AbstractAsyncContextManager[FastAPI]], connect: Connect
) -> None:
    async with run_app(dev=True) as app:
        http = connect(app, "127.0.0.1").http
        seen = await http.get("/", headers={"Host": "localhost"})
        proxied = await http.get("/", headers={"Host": "localhost", "X-Forwarded-For": "192.0.2.1"})

    assert (seen.status_code, proxied.status_code) == (307, 200)


async def test_the_root_without_the_explorer_lists_the_endpoints(api: Api) -> None:
    response = await api.http.get("/")

    assert response.status_code == 200
    for path in re.findall(r"/[\w./-]*\w", response.text):
        assert (await api.http.get(path)).status_code != 404


async def test_nothing_else_is_served(app: FastAPI, connect: Connect, subtests: pytest.Subtests) -> None:
    for path in [
        "/docs",
        "/redoc",
        "/openapi.json",
        "/docs/oauth2-redirect",
        "/graphql/docs",
        "/graphql/schema",
        "/schema.graphql",
        "/playground",
        "/graphiql",
        "/debug",
        "/.env",
        "/graphql_mfa.db",
        "/graphql_mfa.db.key",
        "/.well-known/openid-configuration",
        "/.git/config",
    ]:
        with subtests.test(path=path):
            response = await connect(app).http.get(path)

            assert response.status_code == 404
            assert len(response.content) < 100
