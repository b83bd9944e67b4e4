"""Dockerfile and compose.yaml, as far as they can be checked without a container engine."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.main import get_command

from graphql_mfa import Settings
from graphql_mfa.cli import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in DOCKERFILE.splitlines() if line and line[0] not in " #"]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "database"}


def instructions(name: str) -> list[str]:
    return [arguments for found, arguments in INSTRUCTIONS if found == name]


@pytest.mark.parametrize("file", ["Dockerfile", "compose.yaml"])
def test_every_variable_that_is_named_is_a_setting(file: str) -> None:
    named = set(re.findall(r"GRAPHQL_MFA_\w+", (ROOT / file).read_text()))
    assert named
    assert named <= {f"GRAPHQL_MFA_{name.upper()}" for name in Settings.model_fields}


def test_every_copied_file_exists_and_is_not_ignored() -> None:
    sources = [path for copy in instructions("COPY") if "--from" not in copy for path in copy.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert sources
    assert [path for path in sources if not (ROOT / path).exists() or f"!{path}" not in ignored] == []
    assert ignored[0] == "*"  # no key, database or history gets in by chance


def test_every_command_exists() -> None:
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    (default,) = (json.loads(arguments) for arguments in instructions("CMD"))
    assert instructions("ENTRYPOINT") == ['["graphql-mfa"]']
    for command in [default, *(service["command"] for service in OURS.values() if "command" in service)]:
        options = {option for parameter in commands[command[0]].params for option in parameter.opts}
        assert {word for word in command if word.startswith("--")} <= options


def test_the_image_runs_unprivileged_and_contains_no_secret() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert [word for words in instructions("ENV") for word in shlex.split(words) if "SECRET" in word] == []


@pytest.mark.parametrize(("path", "code"), [("/healthz", 0), ("/nothing", 1)])
def test_the_health_check_bypasses_proxies(live_server: str, path: str, code: int) -> None:
    (check,) = instructions("HEALTHCHECK")
    python, *arguments = json.loads(check.partition("CMD ")[2])
    assert python == "python"
    port = str(urlsplit(live_server).port)
    command = [sys.executable, *(argument.replace("8000", port).replace("/healthz", path) for argument in arguments)]
    proxy = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    environment = os.environ | proxy | {"NO_PROXY": "", "no_proxy": ""}
    assert subprocess.run(command, env=environment, stderr=subprocess.DEVNULL).returncode == code


@pytest.mark.parametrize("name", OURS)
def test_containers_have_a_read_only_file_system_and_no_new_privileges(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["env_file"] == ["mfa.env"]
    assert "environment" not in service  # secrets are in that file


def test_the_database_container_gets_no_key() -> None:
    assert SERVICES["database"]["env_file"] == ["database.env"]


def test_the_replicas_start_after_the_migration_and_have_time_to_stop() -> None:
    replicas = [service for service in OURS.values() if "command" not in service]
    assert len(replicas) == 2
    for service in replicas:
        assert service["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert int(service["stop_grace_period"].removesuffix("s")) > Settings.model_fields["stop_seconds"].default
    assert OURS["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
