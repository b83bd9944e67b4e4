"""Helpers for JavaScript tools: npm, and the packages of a folder."""

import fcntl
import subprocess
from pathlib import Path

from tests.conftest import require_program


def npm(folder: Path, *arguments: str, fails: bool = False) -> str:
    """Run npm in a folder and return its output; it must succeed or, with `fails`, fail."""
    require_program("npm")
    command = ["npm", *arguments]
    run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert (run.returncode != 0) == fails, run.stdout
    return run.stdout


def install(folder: Path) -> None:
    """Install the packages that a folder names, unless they are there. Another test process waits meanwhile."""
    package = folder / "package.json"
    installed = folder / "node_modules" / ".package-lock.json"  # npm writes it last
    with package.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < package.stat().st_mtime:
            npm(folder, "install", "--no-audit", "--no-fund")
            installed.touch()
