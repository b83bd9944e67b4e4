"""Shared fixtures: an application on a fresh database with an adjustable clock, and a real server."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import AsyncAdaptedQueuePool

from graphql_mfa import Settings, create_app
from graphql_mfa.core.keys import new_key
from graphql_mfa.flows.notifications import OnEvent
from graphql_mfa.services import BeforeRegistration, Claims, Services, no_condition
from graphql_mfa.store.database import Database
from tests import leaks
from tests.api_client import Api
from tests.clock import Clock
from tests.postgresql import PostgresqlServer, program, running_server

# Tests, and the programs that they start, ask no proxy for the servers that they start.
for _name in ("NO_PROXY", "no_proxy"):
    os.environ[_name] = ",".join([*filter(None, [os.environ.get(_name)]), "localhost", "127.0.0.1", "::1"])

KEY = new_key()
ENGINES = ("sqlite", "postgresql")
on_each_engine = pytest.mark.engine(*ENGINES)
"""For promises that depend on the database: `make test-postgresql` runs them again."""
sqlite_only = pytest.mark.engine("sqlite")
postgresql_only = pytest.mark.engine("postgresql")

Connect = Callable[..., Api]


def require_program(name: str, path: str | None = None) -> None:
    """A program that a developer may lack, which skips the test, but continuous integration may not.

    path: where it was found, when that is not a matter of PATH alone.
    """
    if (path or shutil.which(name)) is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"needs {name}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=ENGINES, default="sqlite", help="the database that the tests use")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "settings(**named): the settings of the fixture `app`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are about the other engine."""
    engine = config.getoption("engine")

    def is_about_another(item: pytest.Item) -> bool:
        mark = item.get_closest_marker("engine")
        return mark is not None and engine not in mark.args

    config.hook.pytest_deselected(items=[item for item in items if is_about_another(item)])
    items[:] = [item for item in items if not is_about_another(item)]


def connections_in_use(database: Database) -> int:
    """Connections that are not back in their pool."""
    pool = database._backend.engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    return pool.checkedout()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_that_is_logged_holds_a_secret() -> Iterator[None]:
    """Of every test: not one of the secrets that its clients sent or got is in anything that was logged meanwhile."""
    before = len(leaks.remembered)
    with leaks.everything_logged() as log:
        yield
    leaks.assert_none(log, {KEY, *leaks.remembered[before:]})


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of this version, to copy."""
    file = tmp_path_factory.mktemp("template") / "template.db"

    async def migrate() -> None:
        database = Database(f"sqlite+aiosqlite:///{file}")
        await database.migrate()
        await database.close()

    asyncio.run(migrate())
    return file


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> str:
    """The database that the store is kept in: `--engine`."""
    engine: str = pytestconfig.getoption("engine")
    return engine


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A server of PostgreSQL."""
    require_program("PostgreSQL's server", program("initdb"))
    with running_server() as server:
        yield server


@pytest.fixture
def database_url(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> str:
    """Where an empty database of this version is."""
    if engine == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        return server.shared_database()
    file = shutil.copy(request.getfixturevalue("migrated_database"), tmp_path / "test.db")
    return f"sqlite+aiosqlite:///{file}"


@pytest.fixture
def fresh_url(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> str:
    """Where no table is yet."""
    if engine == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/fresh.db"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.empty_database()


@pytest.fixture
def schema_that_breaks(request: pytest.FixtureRequest, engine: str) -> Iterator[None]:
    """For a test that changes tables: the database is not reused."""
    yield
    if engine == "postgresql":
        request.getfixturevalue("postgresql").forget_shared_database()


@pytest.fixture(scope="session")
def new_environment(request: pytest.FixtureRequest, engine: str) -> Callable[[], dict[str, str]]:
    """The environment of servers that share a database of their own; of SQLite, the one in the folder they start in."""

    def make() -> dict[str, str]:
        if engine == "sqlite":
            return {}
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        return {"GRAPHQL_MFA_DATABASE_URL": server.migrated_database(), "GRAPHQL_MFA_SECRET_KEYS": KEY}

    return make


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_settings(database_url: str) -> Callable[..., Settings]:
    """Settings of a fresh database; keyword arguments override."""

    def make(**overrides: Any) -> Settings:
        # The cheapest hash, and an address that may register as often as tests like.
        defaults: dict[str, Any] = {
            "database_url": database_url,
            "secret_keys": KEY,
            "bcrypt_rounds": 4,
            "registration_attempts": 10_000,
        }
        return Settings(**(defaults | overrides))

    return make


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[FastAPI]:
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
def run_app(
    make_settings: Callable[..., Settings], clock: Clock
) -> Callable[..., AbstractAsyncContextManager[FastAPI]]:
    """Start an application with custom settings: `async with run_app(registration_open=False) as app`."""

    def start(
        *,
        before_registration: BeforeRegistration = no_condition,
        on_event: OnEvent | None = None,
        claims: Claims | None = None,
        dev: bool = False,
        **overrides: Any,
    ) -> AbstractAsyncContextManager[FastAPI]:
        app = create_app(
            make_settings(**overrides),
            clock=clock,
            before_registration=before_registration,
            on_event=on_event,
            claims=claims,
            dev=dev,
        )
        return _running(app)

    return start


@pytest.fixture
async def app(
    request: pytest.FixtureRequest, run_app: Callable[..., AbstractAsyncContextManager[FastAPI]]
) -> AsyncIterator[FastAPI]:
    """An application with the settings of the test's mark: `pytest.mark.settings(otp_digits=8)`."""
    mark = request.node.get_closest_marker("settings")
    async with run_app(**(mark.kwargs if mark else {})) as app:
        yield app


@pytest.fixture
def services(app: FastAPI) -> Services:
    """The application's dependencies, for looking into its store."""
    services: Services = app.state.services
    return services


@pytest.fixture
def connect(clock: Clock) -> Connect:
    """A client of an application, at an address: `connect(app, "10.0.0.2")`."""

    def connect(app: FastAPI, address: str = "10.0.0.1") -> Api:
        transport = httpx.ASGITransport(app, client=(address, 50_000))
        return Api(httpx.AsyncClient(transport=transport, base_url="http://testserver"), clock)

    return connect


@pytest.fixture
def api(app: FastAPI, connect: Connect) -> Api:
    """A client of `app`."""
    return connect(app)


# Tests share servers, and one address: the cheapest hash, and an address that may fail as often as they like.
_CHEAP_AND_PATIENT = {
    "GRAPHQL_MFA_BCRYPT_ROUNDS": "4",
    "GRAPHQL_MFA_REGISTRATION_ATTEMPTS": "10000",
    "GRAPHQL_MFA_LOGIN_ADDRESS_ATTEMPTS": "10000",
    "GRAPHQL_MFA_LOGIN_ADDRESS_TOTAL": "10000",
}


@pytest.fixture
def serve_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """For `serve` in the process of the tests: messages as at a terminal, and the hooks restored that it replaces."""
    monkeypatch.setenv("GRAPHQL_MFA_LOG_FORMAT", "text")
    for module, name in (
        (sys, "excepthook"),
        (sys, "unraisablehook"),
        (threading, "excepthook"),
        (warnings, "showwarning"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))


class Server:
    """`graphql-mfa serve` as a process of its own."""

    command: tuple[str, ...] = (sys.executable, "-m", "graphql_mfa", "serve", "--port", "0")

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder, self.arguments, self.environment = folder, arguments, environment
        self.url = ""
        self.log: list[str] = []
        self.remembered_before = len(leaks.remembered)
        self.process: subprocess.Popen[str]
        self.reader: threading.Thread

    def start(self) -> "Server":
        """Start, and wait until it answers."""
        settings = _CHEAP_AND_PATIENT | self.environment
        self.process = subprocess.Popen(
            [*self.command, *self.arguments],
            cwd=self.folder,
            env=os.environ | settings,
            stderr=subprocess.PIPE,
            text=True,
        )
        log = self.process.stderr
        assert log is not None
        for line in log:
            self.log.append(line)
            # The second is what uvicorn says itself, where an example starts it.
            if found := re.search(r"(?:Serving GraphQL at|Uvicorn running on) (http://[\w.:[\]]+)", line):
                self.url = found[1]
                # The server blocks once an unread pipe is full.
                self.reader = threading.Thread(target=self.log.extend, args=(log,))
                self.reader.start()
                return self
        raise AssertionError("".join(self.log))

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self._join()

    def stop(self) -> str:
        """Stop it with SIGTERM; return its log."""
        self.process.terminate()
        self._join()
        return "".join(self.log)

    def _join(self) -> None:
        self.process.wait()
        self.reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        leaks.assert_none(self.log, leaks.remembered[self.remembered_before :])


@pytest.fixture(scope="session")
def live_server(
    tmp_path_factory: pytest.TempPathFactory, new_environment: Callable[[], dict[str, str]]
) -> Iterator[str]:
    """The base URL of a running server, explorer on."""
    server = Server(tmp_path_factory.mktemp("server"), "--dev", **new_environment()).start()
    yield server.url
    server.stop()
