"""Webhooks of `graphql-mfa serve`, across a crash; and `graphql-mfa webhooks`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection

from graphql_mfa.store import outbox
from graphql_mfa.store.database import Database
from tests.api_client import Api
from tests.clock import Clock
from tests.conftest import KEY, Server
from tests.ports import reserved_port
from tests.receiver import SECRET, receiving
from tests.slow.process.conftest import Command
from tests.store import rows

FAIL_SAFE_SECONDS = 60


async def test_events_committed_before_a_crash_are_delivered_after_it(
    tmp_path: Path, new_environment: Callable[[], dict[str, str]]
) -> None:
    with reserved_port() as port:
        environment = new_environment() | {
            "GRAPHQL_MFA_WEBHOOK_URL": f"http://127.0.0.1:{port}/events",
            "GRAPHQL_MFA_WEBHOOK_SECRET": SECRET,
            "GRAPHQL_MFA_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        crashed = await asyncio.to_thread(Server(tmp_path, **environment).start)
        async with httpx.AsyncClient(base_url=crashed.url, trust_env=False, timeout=FAIL_SAFE_SECONDS) as http:
            assert (await Api(http, Clock()).register())["__typename"] == "RegisterUserSuccess"
        await asyncio.to_thread(crashed.kill)

        async with receiving(port=port) as receiver:
            server = await asyncio.to_thread(Server(tmp_path, **environment).start)
            request = await asyncio.wait_for(receiver.requests.get(), FAIL_SAFE_SECONDS)
            assert (request.event["type"], request.event["data"]["username"]) == ("user.registered", "alice")
            log = await asyncio.to_thread(server.stop)
    assert server.process.returncode == 0
    assert SECRET not in log


async def test_an_unresponsive_receiver_does_not_delay_shutdown(
    tmp_path: Path, new_environment: Callable[[], dict[str, str]]
) -> None:
    async with receiving() as receiver:
        receiver.answer = None
        environment = new_environment() | {
            "GRAPHQL_MFA_WEBHOOK_URL": receiver.url,
            "GRAPHQL_MFA_WEBHOOK_SECRET": SECRET,
            "GRAPHQL_MFA_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        server = await asyncio.to_thread(Server(tmp_path, **environment).start)
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=FAIL_SAFE_SECONDS) as http:
            await Api(http, Clock()).register()
        await asyncio.wait_for(receiver.requests.get(), FAIL_SAFE_SECONDS)
        log = await asyncio.wait_for(asyncio.to_thread(server.stop), FAIL_SAFE_SECONDS)
    assert server.process.returncode == 0
    assert "Traceback" not in log
    assert "TimeoutError" not in log  # as it would be after waiting for the delivery


@pytest.fixture
async def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """The store that commands then use."""
    monkeypatch.setenv("GRAPHQL_MFA_DATABASE_URL", database_url)
    monkeypatch.setenv("GRAPHQL_MFA_SECRET_KEYS", KEY)
    monkeypatch.setattr("graphql_mfa.flows.notifications.BATCH_ROWS", 2)
    database = Database(database_url)
    yield database
    await database.close()


async def test_status_counts_events_and_retry_makes_those_given_up_due_again(
    database: Database, command: Command
) -> None:
    ran = await asyncio.to_thread(command, "webhooks", "status")
    assert (ran.exit_code, ran.stdout) == (0, "Every event is delivered.\n")

    def fill(connection: Connection) -> None:
        rows.add_message(connection, sink="webhook", at=rows.NOW + timedelta(days=1))
        for _ in range(3):
            rows.add_message(connection, sink="webhook", due_at=None, last_error="status 503")

    await database.write(fill)
    ran = await asyncio.to_thread(command, "webhooks", "status")
    assert ran.exit_code == 1
    assert ran.stdout == (
        "webhook: 1 waiting, 3 given up, oldest of 2026-01-01 00:00:00+00:00\n  3 failed last with status 503\n"
    )
    ran = await asyncio.to_thread(command, "webhooks", "retry")
    assert (ran.exit_code, ran.stdout) == (0, "3 events are due again.\n")
    (state,) = await database.read(outbox.counts)
    assert (state.waiting, state.dead) == (4, 0)
    later = partial(outbox.due, sink="webhook", now=rows.NOW + timedelta(days=36_500), rows=10)
    assert len(await database.read(later)) == 4
    assert (await asyncio.to_thread(command, "webhooks", "status")).exit_code == 0
