"""Shutdown of `graphql-mfa serve`, and killed workers, with one worker and with several."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api_client import LOGIN, PASSWORD, Api, Result
from tests.authenticator import code_at
from tests.clock import Clock
from tests.conftest import Server
from tests.metrics import Scrape

FAIL_SAFE_SECONDS = 60
TOKEN = "a-token-for-the-metrics"
NEVER_ENDING = b"POST /graphql HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"

_LOGIN = json.dumps({"query": LOGIN, "variables": {"input": {"username": "alice", "password": PASSWORD}}}).encode()
LOGIN_REQUEST = NEVER_ENDING.replace(b"100\r\n\r\n{", b"%d\r\n\r\n" % len(_LOGIN)) + _LOGIN

Serve = Callable[..., Server]
Connect = Callable[[str], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

with_each_number_of_workers = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture
def serve(tmp_path: Path, new_environment: Callable[[], dict[str, str]]) -> Iterator[Serve]:
    """Start a server; it is killed with its workers at the end of the test."""
    servers: list[Server] = []
    shared = new_environment()

    def start(*arguments: str, **environment: str) -> Server:
        servers.append(Server(tmp_path, *arguments, **(shared | environment)))
        server = servers[-1].start()
        assert_workers(server)
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            workers = children(server.process.pid)
            server.process.kill()
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            server.kill()


def children(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def workers_of(server: Server) -> set[int]:
    """The processes that answer; with one worker, the server itself."""
    # Beside its workers, Python's `spawn` has a process that tracks resources.
    spawned = {c for c in children(server.process.pid) if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()}
    return spawned or {server.process.pid}


def assert_workers(server: Server) -> None:
    """Wait for an answer: several workers begin to listen only after their address is printed."""
    transport = httpx.HTTPTransport(retries=12)  # with growing pauses
    with httpx.Client(transport=transport, timeout=FAIL_SAFE_SECONDS) as http:
        assert http.get(f"{server.url}/healthz").status_code == 200


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Api]:
    async with httpx.AsyncClient(base_url=url, timeout=FAIL_SAFE_SECONDS) as http:
        yield Api(http, Clock())


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Open a connection, which is closed at the end of the test."""
    writers: list[asyncio.StreamWriter] = []

    async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def ended(server: Server) -> str:
    """Wait until it exits; return its log."""
    async with asyncio.timeout(FAIL_SAFE_SECONDS):
        await asyncio.to_thread(server.process.wait)
    return server.stop()


async def refused(url: str) -> None:
    """Wait until the server takes no connection any more."""
    parts = urlsplit(url)
    async with asyncio.timeout(FAIL_SAFE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # it waited to be accepted when the last worker closed its door
                continue
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def scrape_until(server: Server, enough: Callable[[Scrape], bool]) -> None:
    """Scrape metrics until the condition is met."""
    async with asyncio.timeout(FAIL_SAFE_SECONDS):
        while True:
            # Each time over a new connection, and so, perhaps, from another worker.
            with suppress(httpx.TransportError):  # it went to one that was killed
                async with client(server.url) as api:
                    response = await api.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
                if enough(Scrape(response.text)):
                    return


@with_each_number_of_workers
async def test_shutdown_answers_a_pending_login_and_refuses_new_connections(
    serve: Serve, connect: Connect, workers: str
) -> None:
    server = serve(
        "--workers",
        workers,
        GRAPHQL_MFA_METRICS_TOKEN=TOKEN,
        GRAPHQL_MFA_STOP_SECONDS=str(FAIL_SAFE_SECONDS),
        GRAPHQL_MFA_REQUEST_TIMEOUT_SECONDS=str(FAIL_SAFE_SECONDS),
    )
    connections = [await connect(server.url) for _ in range(5)]
    for _, writer in connections:
        writer.write(LOGIN_REQUEST[:-1])
        await writer.drain()
    await scrape_until(server, lambda scraped: scraped("requests_in_flight") == len(connections))
    server.process.terminate()
    await refused(server.url)
    for _, writer in connections:
        writer.write(LOGIN_REQUEST[-1:])

    for answer in await asyncio.gather(*(reader.read() for reader, _ in connections)):
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
        assert b'"__typename":"InvalidCredentials"' in answer
    log = await ended(server)
    assert server.process.returncode == 0
    assert "Traceback" not in log


@with_each_number_of_workers
async def test_a_request_that_never_ends_does_not_delay_shutdown(serve: Serve, connect: Connect, workers: str) -> None:
    server = serve(
        "--workers",
        workers,
        GRAPHQL_MFA_STOP_SECONDS="1",
        GRAPHQL_MFA_REQUEST_TIMEOUT_SECONDS="86400",
        GRAPHQL_MFA_METRICS_TOKEN=TOKEN,
    )
    _, writer = await connect(server.url)
    writer.write(NEVER_ENDING)
    await writer.drain()
    await scrape_until(server, lambda scraped: scraped("requests_in_flight") == 1)
    server.process.terminate()

    log = await ended(server)
    assert server.process.returncode == 0
    assert "Traceback" not in log
    assert "timeout graceful shutdown exceeded" in log


async def test_requests_waiting_for_hashing_are_aborted_at_the_stop_timeout(serve: Serve, connect: Connect) -> None:
    slow = {"GRAPHQL_MFA_BCRYPT_ROUNDS": "14", "GRAPHQL_MFA_LOGIN_ATTEMPTS": "1000"}
    server = serve(GRAPHQL_MFA_STOP_SECONDS="1", GRAPHQL_MFA_METRICS_TOKEN=TOKEN, **slow)
    connections = [await connect(server.url) for _ in range(30)]
    for _, writer in connections:
        writer.write(LOGIN_REQUEST)
        await writer.drain()
    await scrape_until(server, lambda scraped: scraped("hashing_places_taken") > 20)
    server.process.terminate()

    log = await ended(server)
    answers = [await reader.read() for reader, _ in connections]
    assert sum(b"InvalidCredentials" in answer for answer in answers) < len(answers) / 2
    assert server.process.returncode == 0
    assert "Traceback" not in log


async def test_two_workers_share_sign_ins_and_limits(serve: Serve) -> None:
    server = serve("--workers", "2", GRAPHQL_MFA_METRICS_PORT="0")
    async with client(server.url) as api:
        registered = await api.register()
    secret = registered["enrollment"]["secret"]
    async with client(server.url) as api:
        confirmed = await api.verify_otp(registered["challenge"], code_at(secret, datetime.now(UTC)))
    assert confirmed["__typename"] == "EnrollmentConfirmed"

    async def me(tokens: Result) -> Result | None:
        async with client(server.url) as api:
            return await api.me(tokens["accessToken"])

    assert await asyncio.gather(*(me(confirmed["tokens"]) for _ in range(40))) == [confirmed["user"]] * 40
    async with client(server.url) as api:
        refreshed = await api.refresh(confirmed["tokens"]["refreshToken"])
    async with client(server.url) as api:
        assert (await api.logout(refreshed["tokens"]["accessToken"]))["__typename"] == "LogoutSuccess"
    assert await me(refreshed["tokens"]) is None

    metrics = re.search(r"Metrics at (\S+/metrics)", "".join(server.log))
    assert metrics
    async with httpx.AsyncClient(timeout=FAIL_SAFE_SECONDS) as http:
        scraped = Scrape((await http.get(metrics[1])).text)
    assert scraped("responses_total", status="200") == 45
    assert scraped("outcomes_total", field="verifyOtp", outcome="EnrollmentConfirmed") == 1
    await asyncio.to_thread(server.stop)
    assert server.process.returncode == 0


async def test_a_killed_worker_is_replaced_and_its_gauges_are_cleared(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    server = serve("--workers", "2", GRAPHQL_MFA_METRICS_TOKEN=TOKEN, TMPDIR=str(tmp_path))
    for _ in range(20):
        _, writer = await connect(server.url)
        writer.write(NEVER_ENDING)
        await writer.drain()
    await scrape_until(server, lambda scraped: scraped("requests_in_flight") == 20)
    before = workers_of(server)
    for worker in before:
        os.kill(worker, signal.SIGKILL)

    await scrape_until(server, lambda scraped: scraped("requests_in_flight") == 0)
    async with client(server.url) as api:
        assert (await api.register())["__typename"] == "RegisterUserSuccess"
    assert len(before) == 2
    assert not before & workers_of(server)
    assert [name for name in os.listdir(tmp_path) if "metrics" in name] != []
    await asyncio.to_thread(server.stop)
    assert server.process.returncode == 0
    assert [name for name in os.listdir(tmp_path) if "metrics" in name] == []


def test_a_server_whose_workers_fail_to_start_ends_with_an_error() -> None:
    serve = """import socket
from uvicorn import Config
from graphql_mfa.cli.serve import _run
_run(Config("no_such_module:app", workers=2), socket.create_server(("127.0.0.1", 0)), "")"""
    command = [sys.executable, "-c", serve]
    ran = subprocess.run(command, timeout=FAIL_SAFE_SECONDS, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 3
    assert "no_such_module" in ran.stderr
