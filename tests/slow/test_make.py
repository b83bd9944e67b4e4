"""`make run` on a machine where something is missing, or where it has to be installed first."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import require_program

ROOT = Path(__file__).parents[2]

# In place of `python3`: it makes no environment but the two programs that the Makefile calls in it.
PYTHON = """#!/bin/sh
case "$1 $2" in
"-c import sys"*) {version} ;;
"-c import venv"*) {venv} ;;
"-m venv") mkdir -p "$3/bin" && for name in pip graphql-mfa; do
    printf '#!/bin/sh\\necho "$(basename $0) $*" >> calls\\n' >"$3/bin/$name"; chmod +x "$3/bin/$name"; done ;;
esac
"""


def make_run(folder: Path, *, version: str = "true", venv: str = "true") -> "subprocess.CompletedProcess[str]":
    require_program("make")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    python = folder / "python"
    python.write_text(PYTHON.format(version=version, venv=venv))
    python.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "run", f"PYTHON={python}", "PORT=8457"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_first_make_run_reports_the_installation_and_serves_the_explorer(tmp_path: Path) -> None:
    ran = make_run(tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "Installing into .venv, which takes about a minute the first time.\n"
    installs, serves = (tmp_path / "calls").read_text().splitlines()
    assert installs.startswith("pip install ")
    assert serves == "graphql-mfa serve --dev --port 8457"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            {"version": "exit 1"},
            "Python 3.11.1 or newer is needed. Name one that is installed: make run PYTHON=python3.13",
        ),
        ({"venv": "exit 1"}, "Python has no venv module. Install it, on Debian and Ubuntu: apt install python3-venv"),
    ],
    ids=["an old Python", "no venv"],
)
def test_make_run_names_a_missing_program_in_one_line(tmp_path: Path, missing: dict[str, str], message: str) -> None:
    ran = make_run(tmp_path, **missing)
    line, of_make = ran.stderr.splitlines()
    assert line == message
    assert of_make.startswith("make: ***")
    assert not (tmp_path / ".venv").exists()
