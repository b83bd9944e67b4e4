"""The domain and the origins of passkeys."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from graphql_mfa.core.passkeys import RelyingParty
from graphql_mfa.settings import Settings

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
APP = "android:apk-key-hash:" + "a1_-" * 10 + "abc"


def party(rp_id: str, *origins: str, issuer: str = "Shop") -> RelyingParty | None:
    return Settings(passkey_rp_id=rp_id, passkey_origins=origins, issuer=issuer).relying_party


@pytest.mark.parametrize(
    ("rp_id", "origins"),
    [
        ("example.com", ["https://example.com"]),
        ("example.com", ["https://app.example.com", APP]),
        ("app.example.com", ["https://app.example.com:8443"]),
        ("example.com", ["https://example.com", "https://example.org"]),
        ("example.co.uk", ["https://example.co.uk"]),
        ("localhost", ["http://localhost:5173", "http://shop.localhost"]),
        ("example.com", ["https://example.com", "http://localhost:5173"]),
    ],
)
def test_a_domain_and_its_origins_are_accepted(rp_id: str, origins: list[str]) -> None:
    assert party(rp_id, *origins) == RelyingParty(rp_id, "Shop", tuple(origins))


@pytest.mark.parametrize(
    "rp_id",
    [
        "127.0.0.1",
        "[::1]",
        "::1",
        "10.1",
        "com",
        "co.uk",
        "Example.com",
        "https://example.com",
        "example.com:443",
        "",
        ".",
    ],
)
def test_a_domain_that_no_browser_accepts_is_refused(rp_id: str) -> None:
    with pytest.raises(ValidationError, match="PASSKEY_RP_ID must be a registered domain"):
        party(rp_id, "https://example.com")


@pytest.mark.parametrize(
    "origin",
    [
        "http://example.com",
        "https://example.com/",
        "https://example.com:443",
        "https://example.com:99999",
        "https://*.example.com",
        "*",
        "example.com",
        "capacitor://localhost",
        "http://localhost.example.com",
        "android:apk-key-hash:short",
    ],
)
def test_an_origin_that_can_not_use_passkeys_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="can't use passkeys"):
        party("example.com", "https://example.com", origin)


@pytest.mark.parametrize(
    "origin", ["https://example.org", "https://notexample.com", "https://example.com.evil.org", APP]
)
def test_a_domain_that_no_origin_belongs_to_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match=r"no origin is at example\.com"):
        party("example.com", origin)


@pytest.mark.parametrize("given", [{"passkey_rp_id": "example.com"}, {"passkey_origins": "https://example.com"}])
def test_a_domain_without_origins_and_origins_without_a_domain_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="must be set together"):
        Settings.model_validate(given)


def test_passkeys_are_off_by_default() -> None:
    assert Settings().relying_party is None


def test_passkeys_belong_to_localhost_in_development() -> None:
    settings = Settings(cors_origins=("http://localhost:5173", "https://app.example.com")).for_development(8000)
    assert settings.passkey_rp_id == "localhost"
    assert settings.passkey_origins == ("http://localhost:8000", "http://localhost:5173")
    chosen = Settings(passkey_rp_id="example.com", passkey_origins=("https://example.com",)).for_development(8000)
    assert chosen.passkey_rp_id == "example.com"
    assert Settings().for_development(0).relying_party is None


@pytest.mark.parametrize(
    ("origins", "listed"),
    [
        (["https://example.com"], None),
        (["https://example.com", APP], None),
        (["https://example.com", "https://example.org", APP], ["https://example.com", "https://example.org"]),
    ],
)
async def test_several_origins_are_listed_for_browsers(
    run_app: RunApp, origins: list[str], listed: list[str] | None
) -> None:
    async with (
        run_app(passkey_rp_id="example.com", passkey_origins=",".join(origins)) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http,
    ):
        response = await http.get("/.well-known/webauthn")
    if listed is None:
        assert response.status_code == 404
    else:
        assert response.json() == {"origins": listed}
        assert response.headers["Content-Type"] == "application/json"


START = """
import asyncio, sys
import graphql_mfa.cli
from graphql_mfa import Settings, create_app
app = create_app(Settings({}))
async def start():
    async with app.router.lifespan_context(app):
        print(*sys.modules)
asyncio.run(start())
"""


@pytest.mark.parametrize(
    ("passkeys", "loaded"),
    [("", False), ('passkey_rp_id="localhost", passkey_origins="http://localhost:8000"', True)],
)
def test_a_start_loads_the_library_for_passkeys_only(passkeys: str, loaded: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-c", START.format(passkeys)]
    modules = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert "fastapi" in modules
    assert ("webauthn" in modules) is loaded
    assert ("cbor2" in modules) is loaded
