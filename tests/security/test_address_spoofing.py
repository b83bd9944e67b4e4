"""Attack: send another address in a header, so that limits count that address."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from fastapi import FastAPI

from tests.api_client import LOGIN, Api
from tests.clock import Clock
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

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
Headers = dict[str, str] | list[tuple[str, str]]


async def guess_with(http: httpx.AsyncClient, name: str, headers: Headers) -> str:
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
    async with httpx.AsyncClient(base_url=strict_server, trust_env=False, timeout=60) as http:
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
    """A client can't use up the attempts of another address by sending it in a header."""
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


async def test_malformed_forwarded_address(app: FastAPI, connect: Connect) -> None:
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


# ------------------------------------------------------------------------------------------------- behind our proxy

PROXY, OTHER_PROXY = "10.0.0.1", "10.0.0.2"


@pytest.fixture
async def behind_proxies(run_app: RunApp) -> AsyncIterator[FastAPI]:
    """It believes two networks, and allows an address two wrong passwords."""
    async with run_app(trusted_proxies="10.0.0.0/24,2001:db8:a::/48", login_address_attempts=2) as app:
        yield app


async def guess_as(http: httpx.AsyncClient, *forwarded_for: str) -> str:
    """Try a wrong password for a new name; each header value is a line of its own."""
    name = f"name of {' and '.join(forwarded_for)}"
    return await guess_with(http, name[:60], [("X-Forwarded-For", line) for line in forwarded_for])


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_address_spoofing_is_warned_of_once_an_hour(
    app: FastAPI, connect: Connect, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy that was not configured is an operator's mistake; a thief must not fill the log with it."""
    for number in range(10):
        if number == 5:
            clock.advance(3600)
        http = connect(app, f"203.0.113.{number}").http
        await guess_as(http, f"198.51.100.{number}")
        await guess_as(http)

    for warning, peer in zip(warnings(caplog), ("203.0.113.0", "203.0.113.5"), strict=True):
        assert peer in warning
        assert "GRAPHQL_MFA_TRUSTED_PROXIES" in warning
        assert "198.51.100" not in warning


async def test_address_without_a_header_does_not_warn(
    app: FastAPI, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    await guess_as(connect(app).http)

    assert warnings(caplog) == []


async def test_address_from_a_trusted_proxy_does_not_warn(
    behind_proxies: FastAPI, connect: Connect, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    """Whatever it says: that the setting does not name it would not be true."""
    for claim in ["198.51.100.1", "unknown", "", "10.0.0.1", "10.0.0.7, nonsense"]:
        with subtests.test(claim=claim):
            await guess_as(connect(behind_proxies, PROXY).http, claim)

            assert warnings(caplog) == []


async def test_address_from_a_trusted_proxy_is_counted(behind_proxies: FastAPI, connect: Connect) -> None:
    """A neighbour behind the same proxy is not blamed, and another proxy leads to the same account of things."""
    http = connect(behind_proxies, PROXY).http

    assert [await guess_as(http, "198.51.100.1") for _ in range(3)] == ["InvalidCredentials"] * 2 + ["RateLimited"]
    assert await guess_as(http, "198.51.100.2") == "InvalidCredentials"
    assert await guess_as(http) == "InvalidCredentials"
    assert await guess_as(connect(behind_proxies, OTHER_PROXY).http, "198.51.100.1") == "RateLimited"
    assert await guess_as(connect(behind_proxies, "198.51.100.1").http) == "RateLimited"


SAME_CLIENT = {
    "its own claim before what the proxy appends": [("1.1.1.{}, 198.51.100.1",)],
    "its own claim of being a proxy": [("198.51.100.{}, 10.0.0.9, 198.51.100.1",)],
    "its own line": [("1.1.1.{}", "198.51.100.1")],
    "many lines": [("1.1.1.{}", "2.2.2.2, 3.3.3.{}", "nonsense", "198.51.100.1")],
    "through two proxies": [("1.1.1.{}, 198.51.100.1, 10.0.0.2",), ("1.1.1.{}, 198.51.100.1", "10.0.0.2")],
    "with a port": [("198.51.100.1:{}",)],
    "IPv4 in IPv6's form": [("198.51.100.1",), ("::ffff:198.51.100.1",), ("[::ffff:c633:6401]:{}",)],
    "addresses of one IPv6 network": [("2001:db8:b:1::{}",), ("[2001:db8:b:1:ffff::{}]:443",)],
    "zones of an IPv6 address": [("fe80::1%{}",)],
}


@pytest.mark.parametrize("spellings", SAME_CLIENT.values(), ids=SAME_CLIENT)
async def test_address_spoofing_behind_a_trusted_proxy(
    behind_proxies: FastAPI, connect: Connect, spellings: list[tuple[str, ...]]
) -> None:
    """However a client dresses up its address, two wrong passwords are all that it has."""
    http = connect(behind_proxies, PROXY).http

    answers = [
        await guess_as(http, *(line.format(number) for line in lines))
        for number, lines in enumerate(spellings * 4, start=1)
    ]

    assert answers == ["InvalidCredentials"] * 2 + ["RateLimited"] * (len(answers) - 2)


async def test_address_of_another_ipv6_network_is_counted_separately(behind_proxies: FastAPI, connect: Connect) -> None:
    http = connect(behind_proxies, "2001:db8:a:9::1").http

    answers = [await guess_as(http, f"2001:db8:b:{number:x}::1") for number in range(5)]

    assert answers == ["InvalidCredentials"] * 5


@pytest.mark.parametrize("peer", ["::ffff:10.0.0.1", "2001:db8:a::1"])
async def test_address_from_a_proxy_over_ipv6_is_counted(behind_proxies: FastAPI, connect: Connect, peer: str) -> None:
    http = connect(behind_proxies, peer).http

    answers = [await guess_as(http, f"198.51.100.{number}") for number in range(5)]

    assert answers == ["InvalidCredentials"] * 5


async def test_address_spoofing_past_the_proxy(behind_proxies: FastAPI, connect: Connect) -> None:
    """Forwarded headers are ignored from direct clients and from addresses just outside the trusted network."""
    http = connect(behind_proxies, "10.0.1.1").http

    answers = [await guess_as(http, f"198.51.100.{number}") for number in range(5)]

    assert answers == ["InvalidCredentials"] * 2 + ["RateLimited"] * 3
