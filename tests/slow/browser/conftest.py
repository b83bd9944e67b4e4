"""Fixtures for browser tests: a tab, and a server in cookie mode."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Server, require_program

if TYPE_CHECKING:
    from playwright.sync_api import Page

Serve = Callable[..., Server]

CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def page() -> "Iterator[Page]":
    """A browser tab. Where the browser is missing the test is skipped, but never in continuous integration."""
    require_program("chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        yield browser.new_page()
        browser.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server in cookie mode, with more arguments and custom settings."""
    servers: list[Server] = []

    def start(*arguments: str, **environment: str) -> Server:
        cookie = {"GRAPHQL_MFA_SESSION_TRANSPORT": "cookie"}
        servers.append(Server(tmp_path, "--dev", *arguments, **cookie | environment).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def complaints_of(page: "Page") -> list[str]:
    """Collects errors from now on; Chromium reports a violated policy as an error on the console."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints
