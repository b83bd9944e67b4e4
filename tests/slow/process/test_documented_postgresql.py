"""The commands of docs/operations.md for PostgreSQL: roles, limits, partitions, backup and restore."""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.authenticator import code_at
from tests.conftest import KEY, Connect, postgresql_only, require_program
from tests.postgresql import PostgresqlServer, program, running_server
from tests.slow.process.conftest import Command

pytestmark = postgresql_only

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]


def block(language: str, beginning: str) -> str:
    """The block of the page that begins so, with passwords filled in."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if text.startswith(beginning)]
    return str(found).replace("…", "hunter2")


@pytest.fixture
def server() -> Iterator[PostgresqlServer]:
    """A separate server, since roles are shared by all databases of a server."""
    require_program("PostgreSQL's server", program("initdb"))
    require_program("psql", program("psql"))
    with running_server() as server:
        yield server


@pytest.fixture
def shell(server: PostgresqlServer, tmp_path: Path) -> Callable[..., str]:
    """Run a command as the superuser there: `shell("psql", database="mfa", given="SELECT 1")`."""
    place = {"PGHOST": str(server._folder), "PGUSER": "tests", "PGDATABASE": "template1"}
    programs = str(Path(program("createdb") or "").parent)
    environment = os.environ | place | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}

    def run(command: str, given: str = "", **named: str) -> str:
        return subprocess.run(
            ["sh", "-e", "-c", command],
            input=given,
            env=environment | named,
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    return run


PSQL = "psql --no-psqlrc --quiet --tuples-only --set=ON_ERROR_STOP=1"
OWNERS = "SELECT DISTINCT tableowner FROM pg_tables WHERE tablename LIKE 'mfa%'"


async def use(run_app: RunApp, connect: Connect, url: str, schema: str, username: str) -> None:
    """Register and sign in, with security events and their outbox."""

    async def ignore(_: object) -> None:
        pass

    async with run_app(database_url=url, database_schema=schema or None, on_event=ignore) as app:
        api = connect(app)
        assert (await api.http.get("/readyz")).json() == {"status": "ok"}
        member = await api.member(username)
        code = code_at(member.secret, api.clock())
        assert (await api.verify_otp(await api.challenge(username), code))["__typename"] == "SignedIn"
        assert (await api.logout(member.access_token))["__typename"] == "LogoutSuccess"


@pytest.mark.parametrize("schema", ["", "sign_in"])
def test_the_documented_roles_migrate_serve_back_up_and_restore(
    server: PostgresqlServer,
    shell: Callable[..., str],
    command: Command,
    run_app: RunApp,
    connect: Connect,
    tmp_path: Path,
    schema: str,
) -> None:
    owner, serving = (server.url("mfa").replace("tests@", f"{role}:hunter2@") for role in ("mfa_owner", "mfa"))
    environment = {"GRAPHQL_MFA_SECRET_KEYS": KEY, "GRAPHQL_MFA_DATABASE_SCHEMA": schema}
    run = partial(command, GRAPHQL_MFA_DATABASE_URL=serving, **environment)

    shell(PSQL, block("sql", "CREATE ROLE"))
    if schema:
        shell(PSQL, block("sql", "CREATE SCHEMA"), PGDATABASE="mfa")
    assert run("migrate").exit_code == 2, "the role that serves may not create tables"
    assert command("migrate", GRAPHQL_MFA_DATABASE_URL=owner, **environment).stdout.startswith("Created the tables")
    shell(PSQL, block("sql", "ALTER ROLE"))
    asyncio.run(use(run_app, connect, serving, schema, "alice"))
    for name in ("purge", "keys status", "keys rotate", "webhooks status", "users show alice", "users unlock alice"):
        assert run(*name.split()).exit_code == 0, name

    (dump,) = re.findall(r"`(umask 077; pg_dump [^`]+)`", PAGE)
    shell(f"umask 022; {dump}")
    assert (tmp_path / "mfa.dump").stat().st_mode & 0o777 == 0o600
    shell("dropdb mfa")
    shell(block("sh", "createdb"))
    assert shell(PSQL, OWNERS, PGDATABASE="mfa").split() == ["mfa_owner"]
    assert " is up to date" in command("migrate", GRAPHQL_MFA_DATABASE_URL=owner, **environment).stdout
    assert "username: alice" in run("users", "show", "alice").stdout
    asyncio.run(use(run_app, connect, serving, schema, "bob"))


def test_the_documented_grants_make_existing_tables_usable(
    server: PostgresqlServer, shell: Callable[..., str], command: Command, run_app: RunApp, connect: Connect
) -> None:
    owner, serving = (server.url("mfa").replace("tests@", f"{role}@") for role in ("mfa_owner", "mfa"))
    shell(PSQL, "CREATE ROLE mfa_owner LOGIN; CREATE ROLE mfa LOGIN;")
    shell("createdb --owner=mfa_owner mfa")
    command("migrate", GRAPHQL_MFA_DATABASE_URL=owner)
    assert "permission denied for table" in command("purge", GRAPHQL_MFA_DATABASE_URL=serving).stderr
    shell(PSQL, block("sql", "GRANT SELECT"), PGDATABASE="mfa", PGUSER="mfa_owner")
    asyncio.run(use(run_app, connect, serving, "", "alice"))


def test_the_documented_partitions_work_with_the_program(
    server: PostgresqlServer, shell: Callable[..., str], run_app: RunApp, connect: Connect
) -> None:
    url = server.migrated_database()
    asyncio.run(use(run_app, connect, url, "", "alice"))
    statement = "SELECT count(*) FROM mfa_security_events"
    name = url.partition("@/")[2].partition("?")[0]
    before = int(shell(PSQL, statement, PGDATABASE=name))
    shell(PSQL, block("sql", "BEGIN"), PGDATABASE=name)
    assert int(shell(PSQL, statement, PGDATABASE=name)) == before
    asyncio.run(use(run_app, connect, url, "", "bob"))
    assert int(shell(PSQL, statement, PGDATABASE=name)) == 2 * before
