"""The installed wheel, in a read-only folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx

from tests.conftest import Server

ROOT = Path(__file__).parents[3]


def test_a_wheel_serves_from_a_folder_that_it_can_not_write_to(tmp_path: Path) -> None:
    source, installed, data, empty = (tmp_path / name for name in ("source", "installed", "data", "empty"))
    shutil.copytree(ROOT / "graphql_mfa", source / "graphql_mfa", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, f"--target={installed}", source], check=True, stderr=subprocess.DEVNULL)
    data.mkdir()
    empty.mkdir(mode=0o500)
    url = f"sqlite+aiosqlite:///{data}/graphql_mfa.db"
    environment = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", "GRAPHQL_MFA_DATABASE_URL": url}

    where = [sys.executable, "-c", "import graphql_mfa; print(graphql_mfa.__file__)"]
    ran = subprocess.run(where, cwd=empty, env=os.environ | environment, check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == str(installed / "graphql_mfa" / "__init__.py")
    assert (installed / "graphql_mfa" / "py.typed").exists()
    server = Server(empty, "--dev", **environment).start()
    with httpx.Client(base_url=server.url, timeout=60) as http:
        assert http.get("/readyz").status_code == 200  # so the migrations came along
        page = http.get("/graphql", headers={"Accept": "text/html"})
        assets = [part.split('"')[0] for part in page.text.split('"/graphql/')[1:]]
        assert assets
        assert [asset for asset in assets if http.get(f"/graphql/{asset}").status_code != 200] == []
    server.stop()
    assert list(empty.iterdir()) == []
    assert {file.name.removesuffix("-wal").removesuffix("-shm") for file in data.iterdir()} == {
        "graphql_mfa.db",
        "graphql_mfa.db.key",
    }
