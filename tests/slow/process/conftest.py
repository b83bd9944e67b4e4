"""Fixtures for tests of commands."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphql_mfa.cli import app

Command = Callable[..., Result]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve_in_process: None) -> Command:
    """Run the command in a fresh folder: `command("totp", SECRET, GRAPHQL_MFA_OTP_DIGITS="8")`."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **environment: CliRunner().invoke(app, arguments, env=environment)
