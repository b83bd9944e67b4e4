"""The worked example of CONTRIBUTING.md, applied to a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
STEPS = re.findall(
    r"^\d\. .*?`((?:graphql_mfa|tests)/[\w/]+\.py)`.*?```python\n(.*?)^ +```",
    (ROOT / "CONTRIBUTING.md").read_text(),
    re.DOTALL | re.MULTILINE,
)


def apply(file: Path, block: str) -> None:
    """Put the imports of a block at the top of the file, and the rest at its end."""
    imports = "".join(re.findall(r"^from .+\n", block, re.MULTILINE))
    before, after = re.split(r"^(?=from |import )", file.read_text(), maxsplit=1, flags=re.MULTILINE)
    file.write_text(before + imports + after + re.sub(r"^from .+\n", "", block, flags=re.MULTILINE))


def run(folder: Path, *command: str) -> str:
    # Neither coverage nor options of this run: the copy is not the package.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTEST_"))}
    ran = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_a_mutation_with_a_new_outcome_takes_four_source_files(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("graphql_mfa", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "slow"))
    for name, block in STEPS:
        apply(tmp_path / name, re.sub(r"^ {3}", "", block, flags=re.MULTILINE))
    assert len({name for name, _ in STEPS if name.startswith("graphql_mfa/")}) == 4

    changed = [name for name, _ in STEPS]
    run(tmp_path, "ruff", "check", "--fix", *changed)
    run(tmp_path, "ruff", "format", *changed)
    (tmp_path / "schema.graphql").write_text(run(tmp_path, "graphql_mfa", "schema"))
    assert run(tmp_path, "tests.outcomes_table").count("`KnownAddressesForgotten`") == 1
    tests = ("tests/api/test_schema.py", "tests/api/test_union_coverage.py", "tests/security/test_known_addresses.py")
    run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "-k", "schema or forget or forgotten", *tests)
