"""What tests share: an application on a fresh database with a clock they move, and a real server."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from graphql_mfa import Settings, create_app
from graphql_mfa.core.key_ring import new_key
from graphql_mfa.flows.services import BeforeRegistration, Services, no_condition
from graphql_mfa.store.database import Database
from tests import leaks
from tests.api_client import Api
from tests.clock import Clock

KEY = new_key()
Connect = Callable[..., Api]


def demand_program(name: str) -> None:
    """A program that a developer may lack, which skips the test, but continuous integration may not."""
    if shutil.which(name) is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"needs {name}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_that_is_logged_holds_a_secret() -> Iterator[None]:
    """Of every test: not one of the secrets that its clients sent or got is in anything that was logged meanwhile."""
    before = len(leaks.remembered)
    with leaks.everything_logged() as log:
        yield
    leaks.demand_none(log, {KEY, *leaks.remembered[before:]})


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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_settings(tmp_path: Path, migrated_database: Path) -> Callable[..., Settings]:
    """Settings of a fresh database; keyword arguments override."""

    def make(**overrides: Any) -> Settings:
        file = tmp_path / "test.db"
        if not file.exists():
            shutil.copy(migrated_database, file)
        # The cheapest hash, and an address that may register as often as tests like.
        defaults: dict[str, Any] = {
            "database_url": f"sqlite+aiosqlite:///{file}",
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
    """Start an application with settings of one's own: `async with run_app(registration_open=False) as app`."""

    def start(
        *, before_registration: BeforeRegistration = no_condition, **overrides: Any
    ) -> AbstractAsyncContextManager[FastAPI]:
        app = create_app(make_settings(**overrides), clock=clock, before_registration=before_registration)
        return _running(app)

    return start


@pytest.fixture
async def app(run_app: Callable[..., AbstractAsyncContextManager[FastAPI]]) -> AsyncIterator[FastAPI]:
    async with run_app() as app:
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
        settings = {"GRAPHQL_MFA_BCRYPT_ROUNDS": "4", "GRAPHQL_MFA_REGISTRATION_ATTEMPTS": "10000"} | self.environment
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
            if "Uvicorn running on " in line:
                self.url = line.split("Uvicorn running on ")[1].split()[0]
                # A pipe that nobody reads is soon full, and then the server stands still.
                self.reader = threading.Thread(target=self.log.extend, args=(log,))
                self.reader.start()
                return self
        raise AssertionError("".join(self.log))

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self._join()

    def stop(self) -> str:
        """End it gently; return what it logged."""
        self.process.terminate()
        self._join()
        return "".join(self.log)

    def _join(self) -> None:
        self.process.wait()
        self.reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        leaks.demand_none(self.log, leaks.remembered[self.remembered_before :])


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a running server, explorer on."""
    server = Server(tmp_path_factory.mktemp("server")).start()
    yield server.url
    server.stop()
