"""Changing the key ring of running servers: `graphql-mfa keys`, starting with a wrong ring, a rolling change."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Connection

from graphql_mfa.core.keys import Key, KeyRing, new_key
from graphql_mfa.flows import keys as rotation
from graphql_mfa.flows.totp import seal_secret
from graphql_mfa.store.database import Database
from tests.api_client import Api, Member
from tests.authenticator import code_at
from tests.conftest import Server
from tests.security.attacks import real_api, real_member
from tests.slow.process.conftest import Command
from tests.store import rows

Fill = Callable[..., list[UUID]]

OLD, NEW, LOST = new_key(), new_key(), new_key()
OLD_ID, NEW_ID, LOST_ID = (Key.parse(entry).id.hex() for entry in (OLD, NEW, LOST))


@pytest.fixture
def fill(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Devices whose secrets those keys sealed, in the database that commands then use."""
    monkeypatch.setenv("GRAPHQL_MFA_DATABASE_URL", database_url)

    def fill(*entries: str, broken: bool = False) -> list[UUID]:
        def add(connection: Connection) -> list[UUID]:
            user = rows.add_user(connection, uuid4().hex)
            return [add_one(connection, user, KeyRing.parse(entry)) for entry in entries]

        def add_one(connection: Connection, user: UUID, ring: KeyRing) -> UUID:
            device = uuid4()
            sealed = seal_secret(ring, uuid4() if broken else device, "a secret")
            return rows.add_device(connection, user, id=device, sealed_secret=sealed, key_id=ring.current.id)

        async def run() -> list[UUID]:
            database = Database(database_url)
            try:
                return await database.write(add)
            finally:
                await database.close()

        return asyncio.run(run())

    return fill


def table(printed: str) -> list[list[str]]:
    """The rows that `keys status` prints, by column."""
    _, *lines, _ = printed.splitlines()
    return [line.split(maxsplit=4) for line in lines]


def test_status_prints_the_uses_of_each_key_and_no_key(command: Command, fill: Fill) -> None:
    fill(OLD, OLD, NEW)
    ran = command("keys", "status", GRAPHQL_MFA_SECRET_KEYS=f"{NEW},{OLD},decrypt-only:{LOST}")
    assert ran.exit_code == 0
    assert table(ran.stdout) == [
        [NEW_ID, "current", "1", "0", "no: it encrypts and signs"],
        [OLD_ID, "spare", "2", "0", "no: run `graphql-mfa keys rotate`"],
        [LOST_ID, "decrypt-only", "0", "0", "yes"],
    ]
    assert "mfak_" not in ran.output


def test_status_explains_a_newly_appended_key(command: Command, fill: Fill) -> None:
    fill(OLD)
    ran = command("keys", "status", GRAPHQL_MFA_SECRET_KEYS=f"{OLD},{NEW}")
    assert ran.exit_code == 0
    advice = "a new key: no, every server needs it before it is moved to the front; an old key: yes"
    assert table(ran.stdout)[1] == [NEW_ID, "spare", "0", "0", advice]


def test_status_fails_when_a_key_is_missing(command: Command, fill: Fill) -> None:
    fill(NEW, LOST)
    ran = command("keys", "status", GRAPHQL_MFA_SECRET_KEYS=NEW)
    assert ran.exit_code == 1
    assert table(ran.stdout)[1] == [LOST_ID, "missing", "1", "0", "missing: add it again"]


def test_rotate_re_encrypts_every_secret_and_prints_progress(
    command: Command, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 2)
    fill(OLD, OLD, OLD, NEW)
    ran = command("keys", "rotate", GRAPHQL_MFA_SECRET_KEYS=f"{NEW},{OLD}")
    assert ran.exit_code == 0
    assert ran.output.splitlines() == [
        "2 of 3 secrets re-encrypted",
        "3 of 3 secrets re-encrypted",
        "All secrets are encrypted with the current key.",
    ]
    assert command("keys", "status", GRAPHQL_MFA_SECRET_KEYS=NEW).exit_code == 0
    again = command("keys", "rotate", GRAPHQL_MFA_SECRET_KEYS=NEW)
    assert again.output == "All secrets are encrypted with the current key.\n"


def test_rotate_names_a_broken_row_continues_and_fails(command: Command, fill: Fill) -> None:
    (broken,) = fill(OLD, broken=True)
    fill(OLD, OLD)
    ran = command("keys", "rotate", GRAPHQL_MFA_SECRET_KEYS=f"{NEW},{OLD}")
    assert ran.exit_code == 1
    assert ran.stdout == "2 of 3 secrets re-encrypted\n"
    first, last = ran.stderr.splitlines()
    assert first == f"totp_devices.sealed_secret:{broken} was altered, or encrypted for another row."
    assert last.startswith("Secrets still encrypted with another key: 1.")


def test_rotate_fails_when_a_key_is_missing(command: Command, fill: Fill) -> None:
    fill(OLD, LOST)
    ran = command("keys", "rotate", GRAPHQL_MFA_SECRET_KEYS=f"{NEW},{OLD}")
    assert ran.exit_code == 1
    assert ran.stdout == "1 of 1 secret re-encrypted\n"
    assert ran.stderr.startswith("Secrets still encrypted with another key: 1.")


def test_serve_ends_with_a_message_when_a_key_is_missing(tmp_path: Path, fill: Fill) -> None:
    fill(LOST, NEW)
    environment = os.environ | {"GRAPHQL_MFA_SECRET_KEYS": f"{NEW},{OLD}"}
    ran = subprocess.run(
        [*Server.command, "--workers", "2"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    message = json.loads(line)["event"]
    assert message.startswith("Wrong configuration: ")
    assert LOST_ID in message
    assert ran.stdout == ""


def test_serve_starts_when_a_leaked_key_is_decrypt_only(tmp_path: Path, fill: Fill) -> None:
    fill(LOST, NEW)
    server = Server(tmp_path, GRAPHQL_MFA_SECRET_KEYS=f"{NEW},decrypt-only:{LOST}").start()
    try:
        assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 200
    finally:
        server.stop()


def test_serve_starts_while_the_database_is_unavailable_and_is_not_ready(tmp_path: Path) -> None:
    url = "postgresql+asyncpg://root:hunter2@127.0.0.1:1/accounts"
    server = Server(tmp_path, GRAPHQL_MFA_SECRET_KEYS=NEW, GRAPHQL_MFA_DATABASE_URL=url).start()
    try:
        assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
        assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 503
    finally:
        log = server.stop()
    assert log.count("The database is unavailable: Connection refused.") == 1
    assert "hunter2" not in log


class Replica:
    """One of the servers behind the load balancer, and how many requests it is at."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.requests = 0
        self.idle = asyncio.Event()


class LoadBalancer(httpx.AsyncBaseTransport):
    """Sends each request to the next live replica, and none to one that is being restarted."""

    def __init__(self, start: Callable[[str], Server]) -> None:
        self.start, self.live, self.turns = start, list[Replica](), itertools.count()
        self.connections = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        replica = self.live[next(self.turns) % len(self.live)]
        address = httpx.URL(replica.server.url)
        request.url = request.url.copy_with(host=address.host, port=address.port)
        replica.requests += 1
        replica.idle.clear()
        try:
            response = await self.connections.handle_async_request(request)
            await response.aread()
            return response
        finally:
            replica.requests -= 1
            if not replica.requests:
                replica.idle.set()

    async def add(self, ring: str) -> None:
        """Start a replica and send it requests once it is ready."""
        server = await asyncio.to_thread(self.start, ring)
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
            assert (await http.get("/readyz")).status_code == 200
        self.live.append(Replica(server))

    async def replace_oldest(self, ring: str) -> None:
        """Drain a replica, and while it stops start its successor."""
        replica = self.live.pop(0)
        if replica.requests:
            await replica.idle.wait()
        log, _ = await asyncio.gather(asyncio.to_thread(replica.server.stop), self.add(ring))
        assert '"level": "error"' not in log


class Visitors:
    """Clients that sign up, refresh and read `me` all the time, of whom one keeps its session for a hundred rounds."""

    def __init__(self, api: Api) -> None:
        self.api, self.open, self.rounds, self.round_done = api, True, 0, asyncio.Condition()

    async def come_and_go(self, name: str) -> None:
        """Until it is closed. Any response other than success ends the test."""
        tokens = (await real_member(self.api, name)).session["tokens"]
        while self.open:
            newcomer = await real_member(self.api, f"{name} {self.rounds}")
            new = await self.read_and_refresh(newcomer.session["tokens"])
            # A session has 120 refreshes in ten minutes.
            tokens = await self.read_and_refresh(tokens if self.rounds % 100 else new)
            async with self.round_done:
                self.rounds += 1
                self.round_done.notify_all()

    async def read_and_refresh(self, tokens: dict[str, str]) -> dict[str, str]:
        refreshed = await self.api.refresh(tokens["refreshToken"])
        assert refreshed["__typename"] == "SignedIn"
        for token in (tokens["accessToken"], refreshed["tokens"]["accessToken"]):
            assert await self.api.me(token) == refreshed["user"]
        renewed: dict[str, str] = refreshed["tokens"]
        return renewed

    async def sign_in(self, member: Member) -> None:
        """With the next step's code, which the enrollment did not use."""
        challenge = await self.api.challenge(member.username)
        signed_in = await self.api.verify_otp(challenge, code_at(member.secret, self.api.clock(), 1))
        assert signed_in["__typename"] == "SignedIn"
        await self.read_and_refresh(signed_in["tokens"])

    async def make_a_round(self) -> None:
        """One that begins now: the next may have begun before."""
        goal = self.rounds + 2
        async with self.round_done:
            await self.round_done.wait_for(lambda: self.rounds >= goal)


@pytest.fixture
async def balancer(
    tmp_path: Path, new_environment: Callable[[], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LoadBalancer]:
    """A proxy in front of servers on one database. Running servers are stopped at the end."""
    for name, value in new_environment().items():
        monkeypatch.setenv(name, value)
    servers: list[Server] = []

    def start(ring: str) -> Server:
        servers.append(Server(tmp_path, GRAPHQL_MFA_SECRET_KEYS=ring))
        return servers[-1].start()

    balancer = LoadBalancer(start)
    yield balancer
    for server in servers:
        if server.process.poll() is None:
            server.stop()
    await balancer.connections.aclose()


async def test_no_request_fails_during_a_rolling_key_change(balancer: LoadBalancer, tmp_path: Path) -> None:
    def keys(command: str, ring: str) -> str:
        environment = os.environ | {"GRAPHQL_MFA_SECRET_KEYS": ring}
        program = [sys.executable, "-m", "graphql_mfa", "keys", command]
        return subprocess.run(program, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    await asyncio.gather(balancer.add(OLD), balancer.add(OLD))
    async with (
        httpx.AsyncClient(transport=balancer, base_url="http://replicas", timeout=60) as http,
        asyncio.TaskGroup() as group,
    ):
        visitors = Visitors(real_api(http))
        members = [await real_member(visitors.api, f"member {number}") for number in range(7)]
        group.create_task(visitors.come_and_go("visitor"))

        async def all_is_well() -> None:
            await visitors.make_a_round()
            await visitors.sign_in(members.pop())

        async def roll_out(ring: str) -> None:
            for _ in range(2):
                await balancer.replace_oldest(ring)
                await all_is_well()

        await roll_out(f"{OLD},{NEW}")
        await roll_out(f"{NEW},{OLD}")
        # Beside the servers, and beside itself.
        rotations = [asyncio.to_thread(keys, "rotate", f"{NEW},{OLD}") for _ in range(2)]
        for printed in await asyncio.gather(*rotations):
            assert printed.splitlines()[-1] == "All secrets are encrypted with the current key."
        await all_is_well()
        await roll_out(NEW)
        visitors.open = False
    assert members == []
    (current, *others) = table(await asyncio.to_thread(keys, "status", f"{NEW},{OLD}"))
    assert current[:2] == [NEW_ID, "current"]
    assert [other[:3] for other in others] == [[OLD_ID, "spare", "0"]]
