"""Fixtures for tests of commands and of a running server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphql_mfa.cli import app
from tests.conftest import Server

Command = Callable[..., Result]
Serve = Callable[..., Server]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve_in_process: None) -> Command:
    """Run the command in a fresh folder: `command("totp", SECRET, GRAPHQL_MFA_OTP_DIGITS="8")`."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **environment: CliRunner().invoke(app, arguments, env=environment)


@pytest.fixture
def serve(tmp_path: Path, new_environment: Callable[[], dict[str, str]]) -> Iterator[Serve]:
    """Start a server in the test's folder. It is stopped at the end of the test."""
    servers: list[Server] = []
    environment = new_environment()

    def start(*arguments: str, **settings: str) -> Server:
        servers.append(Server(tmp_path, *arguments, **(environment | settings)))
        return servers[-1].start()

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()
