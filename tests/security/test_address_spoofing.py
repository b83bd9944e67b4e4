"""Attack: say in a header that one is somebody else, so that limits count somebody else."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI

from tests.api_client import LOGIN, Api
from tests.conftest import Connect, Server
from tests.security.attacks import WRONG_PASSWORD

HEADERS = {
    "X-Forwarded-For": "198.51.100.{}",
    "Forwarded": "for=198.51.100.{};proto=https",
    "X-Real-IP": "198.51.100.{}",
    "X-Client-IP": "198.51.100.{}",
    "True-Client-IP": "198.51.100.{}",
    "CF-Connecting-IP": "198.51.100.{}",
    "X-Forwarded-Host": "host{}.example",
    "X-Forwarded-Proto": "https{}",
    "Host": "host{}.example",
    "X-Original-Forwarded-For": "198.51.100.{}, 127.0.0.1",
}


async def guess_with(http: httpx.AsyncClient, name: str, headers: dict[str, str]) -> str:
    variables = {"input": {"username": name, "password": WRONG_PASSWORD}}
    response = await http.post("/graphql", json={"query": LOGIN, "variables": variables}, headers=headers)
    kind: str = response.json()["data"]["login"]["__typename"]
    return kind


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server that allows an address eight wrong passwords."""
    server = Server(tmp_path_factory.mktemp("strict"), GRAPHQL_MFA_LOGIN_ADDRESS_ATTEMPTS="8").start()
    yield server.url
    server.stop()


@pytest.fixture
async def http(strict_server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=strict_server, trust_env=False) as http:
        yield http


async def test_address_spoofing_at_a_real_server(http: httpx.AsyncClient) -> None:
    """A header that no trusted proxy sent changes nothing: not one of them, nor all of them together."""
    answers = [
        await guess_with(http, f"name{number}", {name: value.format(number)})
        for number, (name, value) in enumerate(HEADERS.items())
    ]
    everything = {name: value.format(77) for name, value in HEADERS.items()}

    assert answers == ["InvalidCredentials"] * 8 + ["RateLimited"] * 2
    assert await guess_with(http, "name77", everything) == "RateLimited"
    assert await guess_with(http, "name78", {}) == "RateLimited"


async def test_address_spoofing_does_not_blame_another(app: FastAPI, connect: Connect) -> None:
    """Nor does anybody use up the tries of an address by naming it."""
    thief, victim = connect(app, "203.0.113.9"), connect(app, "198.51.100.1")
    for number in range(31):
        await guess_with(thief.http, f"name{number}", {"X-Forwarded-For": "198.51.100.1"})

    assert await guess_with(thief.http, "one-more", {}) == "RateLimited"
    assert await guess_with(victim.http, "one-more", {}) == "InvalidCredentials"


async def test_address_spoofing_as_the_owner(app: FastAPI, connect: Connect) -> None:
    """The address from which the owner signed in is no secret; naming it gives none of its privileges."""
    owner, thief = connect(app, "198.51.100.1"), connect(app, "203.0.113.9")
    await owner.member()
    for number in range(25):
        stranger: Api = connect(app, f"192.0.2.{number}")
        for _ in range(4):
            assert await guess_with(stranger.http, "alice", {}) == "InvalidCredentials"

    assert await guess_with(thief.http, "alice", {"X-Forwarded-For": "198.51.100.1"}) == "RateLimited"
    assert await guess_with(owner.http, "alice", {}) == "InvalidCredentials"


async def test_address_that_is_none(app: FastAPI, connect: Connect) -> None:
    """Clients without an address, as over a Unix socket, share one group; they are not without limits."""
    for number in range(30):
        nobody = connect(app, f"not-an-address-{number}")
        assert await guess_with(nobody.http, f"name{number}", {}) == "InvalidCredentials"

    assert await guess_with(connect(app, "").http, "one-more", {}) == "RateLimited"


async def test_address_spoofing_leaves_a_real_server_usable(http: httpx.AsyncClient) -> None:
    """Odd proxy headers are ignored, not choked on."""
    for value in ("", ",,,", "a" * 5000, "::1%eth0", "[::1]:1", ",".join(["127.0.0.1"] * 300)):
        response = await http.get(
            "/graphql",
            params={"query": "{ policy { issuer } }"},
            headers={"X-Forwarded-For": value, "Forwarded": value},
        )
        assert response.status_code == 200
        assert response.json()["data"]["policy"]["issuer"]
