"""`python -m tests.mutants [name ...]` plants one fault at a time, and reports which of them no test notices.

A fault is planted in a copy of the tracked files, where the tests run. The suite runs without a fault first, unless
names are given: what fails then proves nothing.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
# The quickest ones first. The last one starts servers.
TESTS = [f"tests/{name}" for name in ("core", "store", "flows", "api", "http", "security", "slow/process")]
_PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
_TIME_LIMIT_SECONDS = 1800
# The test that noticed a fault last time; it runs before all others.
_CACHE = ROOT / ".pytest_cache" / "mutants.json"
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """A fault: a text that occurs exactly once in the file, and its replacement."""

    name: str
    file: str
    text: str
    replacement: str

    def occurrences(self, root: Path = ROOT) -> int:
        """How often the file has the text; 0 when there is no such file."""
        path = root / self.file
        return path.read_text().count(self.text) if path.is_file() else 0

    @property
    def likely_tests(self) -> list[str]:
        """Tests that are named after the file."""
        name = f"test_{Path(self.file).stem}.py"
        return [f"{folder}/{name}" for folder in TESTS if (ROOT / folder / name).is_file()]

    def plant(self, root: Path) -> None:
        """Change the file."""
        path = root / self.file
        path.write_text(path.read_text().replace(self.text, self.replacement))


def load_mutants() -> list[Mutant]:
    """The table in mutants.toml."""
    table = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text())
    return [Mutant(name, file, *texts) for file, entries in table.items() for name, texts in entries.items()]


@contextmanager
def _copy() -> Iterator[Path]:
    """A copy of the tracked files, as they are in the work tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    with TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "copy"
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, copy / name)
        yield copy


def _run(command: Sequence[str], copy: Path) -> tuple[int, str]:
    """Run a command on the copy's code, in a process group that is killed at the end; return status and output."""
    with subprocess.Popen(
        command,
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy), "TMPDIR": str(copy.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=_TIME_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            return -1, f"no result within {_TIME_LIMIT_SECONDS} seconds"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, output


def _check_import(copy: Path) -> None:
    """Tests that start a server must run the copy, not the package installed in the environment (hence -P)."""
    _, output = _run([sys.executable, "-P", "-c", "import graphql_mfa; print(graphql_mfa.__file__)"], copy)
    if Path(output.strip()) != copy / "graphql_mfa" / "__init__.py":
        sys.exit(f"The tests would import {output}")


def first_failure(mutant: Mutant | None, likely: Sequence[str] = ()) -> str | None:
    """The first test that fails with the fault, or without any for None; None when all pass.

    likely: tests to run first.
    """
    with _copy() as copy:
        _check_import(copy)
        if mutant:
            mutant.plant(copy)
        if likely:
            status, output = _run([*_PYTEST, "-p", "no:xdist", *likely], copy)
            if status == 1 and (found := _FAILED.search(output)):
                return found[1]
        status, output = _run([*_PYTEST, "--numprocesses", "auto", "--maxprocesses", "2", *TESTS], copy)
    if status == 0:
        return None
    if found := _FAILED.search(output):
        return found[1]
    sys.exit(f"{mutant.name if mutant else 'no fault'}: pytest ended with status {status}.\n{output[-3000:]}")


def main() -> None:
    """The command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy is removed
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="plant these only")
    parser.add_argument("--list", action="store_true", help="list the faults")
    options = parser.parse_args()
    mutants = load_mutants()
    if wrong := [mutant.name for mutant in mutants if mutant.occurrences() != 1]:
        sys.exit(f"The text is not in the file exactly once: {', '.join(wrong)}")
    if unknown := set(options.names) - {mutant.name for mutant in mutants}:
        sys.exit(f"No such faults: {', '.join(sorted(unknown))}")
    if options.list:
        for mutant in mutants:
            print(f"{mutant.name:50} {mutant.file}")
        return
    if not options.names and (failed := first_failure(None)):
        sys.exit(f"Without a fault, {failed} fails.")
    remembered = json.loads(_CACHE.read_text()) if _CACHE.is_file() else {}
    survivors = 0
    for mutant in mutants:
        if options.names and mutant.name not in options.names:
            continue
        likely = [remembered[mutant.name]] if mutant.name in remembered else mutant.likely_tests
        killer = first_failure(mutant, likely)
        print(f"{mutant.name:50} {f'killed by {killer}' if killer else 'SURVIVED'}", flush=True)
        if killer:
            remembered[mutant.name] = killer
            _CACHE.parent.mkdir(exist_ok=True)
            _CACHE.write_text(json.dumps(remembered, indent=1))
        survivors += killer is None
    if survivors:
        sys.exit(f"{survivors} survived.")


if __name__ == "__main__":
    main()
