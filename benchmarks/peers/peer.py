"""Base of the peers: a folder with the application, and one that git ignores with its dependencies."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.target import Answer, Launch, OperationName, Request, Step, UnexpectedAnswerError

_HERE = Path(__file__).parent
_INSTALLED = _HERE.parent.parent / ".bench"

_SECRET = "a-secret-of-the-benchmark-which-is-32-characters-or-more"


@dataclass(frozen=True)
class Peer:
    """A Target. requirements: the file of its dependencies. start: the command, run where they are installed."""

    name: str
    description: str
    requirements: str
    codes_once: bool
    operations: Mapping[OperationName, Sequence[Step]]
    ready: Request
    start: Callable[["Peer", int], Sequence[str]]
    migrate: Callable[["Peer"], Sequence[str]] | None = None
    environment: Mapping[str, str] | None = None
    hashes: bool = True

    @property
    def source(self) -> Path:
        """The application's folder."""
        return _HERE / self.name.replace("-", "_")

    @property
    def installed(self) -> Path:
        """Where its packages are."""
        return _INSTALLED / self.name

    def install(self) -> None:
        """Install its packages, unless just these are there."""
        if self.requirements == "package.json":
            # Node looks for packages in the folders above a module.
            self.installed.mkdir(parents=True, exist_ok=True)
            for name in ("package.json", ".npmrc", "server.js"):
                shutil.copy(self.source / name, self.installed)
        wanted = (self.source / self.requirements).read_bytes()
        mark = self.installed / "installed"
        if mark.exists() and mark.read_bytes() == wanted:
            return
        if self.requirements == "package.json":
            _run(["npm", "install", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"], self.installed)
        else:
            _run([sys.executable, "-m", "venv", "--clear", str(self.installed)], self.source)
            _run([str(self.installed / "bin/pip"), "install", "--quiet", "-r", self.requirements], self.source)
        mark.write_bytes(wanted)

    def launch(self, port: int, rounds: int) -> Launch:
        """As the interface says."""
        return Launch(self.start(self, port), self._environment(rounds))

    def prepare(self, folder: Path) -> None:
        """Make its tables."""
        if self.migrate:
            _run(self.migrate(self), folder, self._environment(4))

    def _environment(self, rounds: int) -> dict[str, str]:
        return {"BCRYPT_ROUNDS": str(rounds), "SECRET": _SECRET, **(self.environment or {})}


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(  # noqa: S603 - the peer's own command
        command, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def post(path: str, body: Mapping[str, str], headers: Mapping[str, str]) -> Request:
    """A request with a body of JSON."""
    return Request(path, json.dumps(body).encode(), headers={"Content-Type": "application/json", **headers})


def demand(condition: object, answer: Answer) -> None:
    """Raise an UnexpectedAnswerError unless the answer is the expected one."""
    if not condition:
        raise UnexpectedAnswerError(f"status {answer.status}: {answer.body[:500]!r}")


def answered(answer: Answer, status: int) -> Any:
    """The body of an answer that is expected to have this status, which need not be 2xx."""
    demand(answer.status == status, answer)
    return json.loads(answer.body)
