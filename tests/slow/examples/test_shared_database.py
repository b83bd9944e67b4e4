"""The application that shares its database with graphql_mfa, as a server of its own."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import KEY, Server, on_each_engine

pytestmark = on_each_engine

FOLDER = Path(__file__).parents[3] / "examples" / "shared_database"
DELETE_ACCOUNT = "mutation { deleteAccount { __typename } }"


@pytest.fixture
def environment(fresh_url: str) -> dict[str, str]:
    return {"GRAPHQL_MFA_DATABASE_URL": fresh_url, "GRAPHQL_MFA_SECRET_KEYS": KEY}


class Notebook(Server):
    """uvicorn, as the example says to start it."""

    command = (sys.executable, "-m", "uvicorn", "--app-dir", str(FOLDER), "notebook:app", "--port", "0")


def run(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=FOLDER, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def migrate(environment: dict[str, str]) -> None:
    run(environment, "notebook.py")
    run(environment, "-m", "alembic", "upgrade", "head")


async def notes_left(url: str) -> int:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        left = await connection.scalar(text("SELECT count(*) FROM notes"))
    await engine.dispose()
    assert left is not None
    return int(left)


async def test_both_migration_histories_share_one_database_and_notes_are_deleted_with_their_account(
    environment: dict[str, str], tmp_path: Path
) -> None:
    migrate(environment)
    migrate(environment)
    # `alembic check` fails if autogenerate would change anything.
    assert "No new upgrade operations" in run(environment, "-m", "alembic", "check")
    assert "0001 (head)" in run(environment, "-m", "alembic", "current")

    server = Notebook(tmp_path, **environment).start()
    try:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
            api = Api(http, Clock())
            registered = await api.register()
            code = code_at(registered["enrollment"]["secret"], datetime.now(UTC))
            token = (await api.verify_otp(registered["challenge"], code))["tokens"]["accessToken"]
            for body in ("milk", "eggs"):
                await api.run(f'mutation {{ addNote(text: "{body}") }}', token=token)
            assert (await api.send("{ notes }", token=token)).json() == {"data": {"notes": ["milk", "eggs"]}}
            assert (await api.run(DELETE_ACCOUNT, token=token))["__typename"] == "AccountDeleted"
    finally:
        server.stop()
    assert await notes_left(environment["GRAPHQL_MFA_DATABASE_URL"]) == 0
