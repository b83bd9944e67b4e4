"""`graphql-mfa serve` as processes: crashes, two at once, signals, a real authenticator, rude clients."""

import asyncio
import itertools
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from graphql_mfa.testing import SoftwarePasskey
from tests.api_client import Api
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import require_program
from tests.passkeys import enroll
from tests.ports import reserved_port
from tests.slow.process.conftest import Serve

KILLED_AFTER = 20  # registrations


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Api]:
    """A client over real connections. The server's clock is the real one."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        yield Api(http, Clock())


async def test_acknowledged_registrations_survive_a_crash(serve: Serve) -> None:
    server = serve()
    registered: list[str] = []

    async def register_until_the_crash(api: Api, worker: int) -> None:
        for number in itertools.count():
            try:
                answer = await api.register(name := f"user {worker} {number}")
            except httpx.TransportError:
                return
            assert answer["__typename"] == "RegisterUserSuccess"
            registered.append(name)
            if len(registered) == KILLED_AFTER:
                server.kill()

    async with client(server.url) as api:
        await asyncio.gather(*(register_until_the_crash(api, worker) for worker in range(8)))
    assert len(registered) >= KILLED_AFTER
    async with client(serve().url) as api:
        answers = [(await api.login(name))["__typename"] for name in registered]
    assert answers == ["OtpRequired"] * len(registered)


async def test_two_servers_started_at_once_in_a_fresh_folder_share_keys_and_accounts(
    serve: Serve, tmp_path: Path, engine: str
) -> None:
    with ThreadPoolExecutor() as threads:
        servers = list(threads.map(lambda _: serve(), range(2)))
    keys = {entry.name: oct(entry.stat().st_mode & 0o777) for entry in os.scandir(tmp_path) if ".key" in entry.name}
    assert keys == ({"graphql_mfa.db.key": "0o600"} if engine == "sqlite" else {})
    async with client(servers[0].url) as one, client(servers[1].url) as other:
        for api in (one, other):
            assert (await api.http.get("/readyz")).status_code == 200
        registered = await one.register()
        code = code_at(registered["enrollment"]["secret"], datetime.now(UTC))
        confirmed = await other.verify_otp(registered["challenge"], code)
        assert confirmed["__typename"] == "EnrollmentConfirmed"
        assert await one.me(confirmed["tokens"]["accessToken"]) == confirmed["user"]
        assert (await other.register())["__typename"] == "UsernameTaken"


async def test_oathtool_codes_sign_in(live_server: str) -> None:
    require_program("oathtool")

    def oathtool(secret: str, when: str) -> str:
        command = ["oathtool", "--totp", "--base32", f"--now={when}", secret]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    async with client(live_server) as api:
        registered = await api.register("oathtool's user")
        secret = registered["enrollment"]["secret"]
        confirmed = await api.verify_otp(registered["challenge"], oathtool(secret, "now"))
        assert confirmed["__typename"] == "EnrollmentConfirmed"
        assert (await api.logout(confirmed["tokens"]["accessToken"]))["__typename"] == "LogoutSuccess"
        challenge = await api.challenge("oathtool's user")
        signed_in = await api.verify_otp(challenge, oathtool(secret, "now + 30 seconds"))
        assert signed_in["__typename"] == "SignedIn"
        assert await api.me(signed_in["tokens"]["accessToken"]) == confirmed["user"]


def test_a_stopped_server_exits_cleanly(serve: Serve) -> None:
    server = serve()
    log = server.stop()
    assert "Application shutdown complete" in log
    assert "Traceback" not in log
    assert server.process.returncode == 0


def test_serve_hides_the_explorer_and_prints_how_to_enable_it(serve: Serve) -> None:
    server = serve()
    assert "`graphql-mfa serve --dev` shows it" in server.log[-1]
    assert httpx.get(f"{server.url}/graphql", headers={"Accept": "text/html"}, timeout=60).status_code == 400


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_logs_once_where_its_database_is(serve: Serve, tmp_path: Path, engine: str, workers: str) -> None:
    log = serve("--workers", workers).stop()
    shown = f"sqlite+aiosqlite:///{tmp_path}/graphql_mfa.db" if engine == "sqlite" else "postgresql+asyncpg:///"
    assert log.count("Using the database ") == log.count(f"Using the database {shown}") == 1


async def test_serve_dev_allows_more_registrations_from_this_machine(serve: Serve) -> None:
    async with client(serve("--dev", GRAPHQL_MFA_REGISTRATION_ATTEMPTS="").url) as api:
        answers = [(await api.register(f"user {number}"))["__typename"] for number in range(21)]
    assert answers == ["RegisterUserSuccess"] * 21


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_serve_dev_shows_the_explorer_at_the_address_that_it_prints(serve: Serve, host: str) -> None:
    server = serve("--dev", "--host", host, "--workers", "2" if host == "localhost" else "1")
    with httpx.Client(transport=httpx.HTTPTransport(retries=10), timeout=60) as http:
        assert http.get(f"{server.url}/graphql", headers={"Accept": "text/html"}).status_code == 200


async def test_passkeys_work_at_the_address_that_serve_dev_prints(serve: Serve) -> None:
    """Browsers have none at 127.0.0.1."""
    with reserved_port() as port:
        server = serve("--dev", "--port", str(port))
    assert urlsplit(server.url).hostname == "localhost"
    async with client(server.url) as api:
        confirmed = await enroll(api, (await api.register())["challenge"], SoftwarePasskey(server.url))
    assert confirmed["__typename"] == "EnrollmentConfirmed"


def test_every_line_of_a_json_log_is_an_event(serve: Serve) -> None:
    server = serve(
        *("--workers", "2"),
        GRAPHQL_MFA_LOG_FORMAT="json",
        GRAPHQL_MFA_NO_SUCH_SETTING="1",
        GRAPHQL_MFA_METRICS_PORT="0",
    )
    with httpx.Client(base_url=server.url, transport=httpx.HTTPTransport(retries=10), timeout=60) as http:
        assert http.post("/graphql", json={"query": "{ policy { issuer } }"}).status_code == 200
    events = [json.loads(line)["event"] for line in server.stop().splitlines()]
    for beginning in (
        "GRAPHQL_MFA_BCRYPT_ROUNDS=4",  # a warning of Python
        "There is no setting",
        "Metrics at ",
        "Serving GraphQL at ",
        "Started server process",  # uvicorn's, of a worker
        "query",
        "Application shutdown complete",
    ):
        assert [event for event in events if event.startswith(beginning)], beginning


SERVE = "from graphql_mfa.cli import app; app(['serve', '--port', '0'])"
BROKEN = f"""import sys
import graphql_mfa.cli
sys.modules["graphql_mfa.cli.serve"].require_keys = lambda _: 1 / 0
{SERVE}"""


@pytest.mark.parametrize(
    ("program", "setting", "event", "code"),
    [
        (SERVE, "many", "Wrong configuration: GRAPHQL_MFA_OTP_DIGITS: ", 2),
        (BROKEN, "6", "Unexpected error", 1),
    ],
    ids=["wrong configuration", "an unexpected error"],
)
def test_a_fatal_start_error_is_one_line_of_json(
    tmp_path: Path, program: str, setting: str, event: str, code: int
) -> None:
    environment = os.environ | {"GRAPHQL_MFA_LOG_FORMAT": "json", "GRAPHQL_MFA_OTP_DIGITS": setting}
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (code, "")
    (line,) = ran.stderr.splitlines()
    assert json.loads(line)["event"].startswith(event)


def test_disconnecting_clients_leave_no_traceback_in_the_log(serve: Serve) -> None:
    server = serve()
    url = urlsplit(server.url)
    head = "POST /graphql HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    whole_body = '{"query":"{policy{issuer}}"}'
    requests = ["POST /graphql HTT", head.format(100) + '{"query":', head.format(len(whole_body)) + whole_body]
    for request, reset in itertools.product(requests, (False, True)):
        with socket.create_connection((url.hostname or "", url.port or 0)) as connection:
            connection.sendall(request.encode())
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
    log = server.stop()
    assert "Traceback" not in log
    assert '"level": "error"' not in log


def test_two_development_servers_at_one_host_use_different_cookies(serve: Serve) -> None:
    names = set()
    for _ in range(2):
        with reserved_port() as port:
            server = serve("--dev", "--port", str(port), GRAPHQL_MFA_SESSION_TRANSPORT="cookie")
        refreshed = httpx.post(
            f"{server.url}/graphql",
            json={"query": "mutation { refreshSession { __typename } }"},
            headers={"GraphQL-Require-Preflight": "1"},
            timeout=60,
        )
        names.add(refreshed.headers["Set-Cookie"].partition("=")[0])
    assert len(names) == 2
