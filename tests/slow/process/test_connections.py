"""`graphql-mfa serve` limits connections: bytes, time, number, lines of the log."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from graphql_mfa.http_server import MAX_HEAD_BYTES as LONGEST_HEAD
from tests.conftest import Server
from tests.slow.process.conftest import Serve

FAIL_SAFE_SECONDS = 60

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
# Makes the server close a connection after it has answered the earlier requests.
NONSENSE = b"nonsense\r\n\r\n"
POST = b"POST /graphql HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
BODY = json.dumps({"query": "{ me { username } }"}).encode()
END_OF_POST = b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
REFUSED = POST.replace(b"application/json", b"text/plain") + b"Content-Length: 1000000000000\r\n\r\n"
CHUNK = b"%x\r\n%s\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the default settings."""
    server = Server(tmp_path_factory.mktemp("server")).start()
    yield server.url
    server.kill()


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    parts = urlsplit(url)
    async with asyncio.timeout(FAIL_SAFE_SECONDS):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """All that the server says until it closes the connection, by a reset too."""
    received = b""
    with suppress(ConnectionError):
        while part := await reader.read(65_536):
            received += part
    return received


async def one_answer(reader: asyncio.StreamReader) -> bytes:
    """One whole answer of a connection that stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head + await reader.readexactly(int(length.partition(b":")[2]))


async def answers_of(url: str, request: bytes) -> bytes:
    """Send bytes; return everything up to the end of the connection."""
    async with connection(url) as (reader, writer):
        writer.write(request)
        return await until_closed(reader)


async def flood(url: str, beginning: bytes, forever: bytes) -> bytes:
    """Send until the server closes the connection; return its responses."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        with suppress(ConnectionError):
            while True:
                writer.write(forever)
                await writer.drain()
                await asyncio.sleep(0)  # drain() alone may not let the reader run

    async with connection(url) as (reader, writer):
        sending = asyncio.create_task(send(writer))
        said = await until_closed(reader)
        sending.cancel()
        return said


def statuses(answers: bytes) -> list[int]:
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def head_of(length: int, *, url: bool = False) -> bytes:
    """A head of this many bytes, most of them in the URL or in a header."""
    template = b"GET /healthz?%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX: %s\r\n\r\n"
    filling = b"x" * (length - len(template % (b"", b"")))
    return template % ((filling, b"") if url else (b"", filling))


@pytest.mark.parametrize(("in_url", "refusal"), [(False, 431), (True, 414)])
async def test_a_head_of_the_longest_length_is_answered_and_one_byte_more_is_refused(
    url: str, in_url: bool, refusal: int
) -> None:
    assert statuses(await answers_of(url, head_of(LONGEST_HEAD, url=in_url))) == [200]
    assert statuses(await answers_of(url, head_of(LONGEST_HEAD + 1, url=in_url))) == [refusal]


@pytest.mark.parametrize(
    ("beginning", "forever", "refusal"),
    [
        (b"GET /", b"x" * 1000, 414),
        (b"GET / HTTP/1.1\r\nX: ", b"x" * 1000, 431),
        (b"GET / HTTP/1.1\r\n", b"x" * 1000, 431),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 100, 431),
        (b"", b"\r\n" * 500, 431),
    ],
    ids=["url", "header", "name of a header", "headers", "empty lines"],
)
async def test_an_endless_head_is_refused_while_it_is_still_being_sent(
    url: str, beginning: bytes, forever: bytes, refusal: int
) -> None:
    assert statuses(await flood(url, beginning, forever)) == [refusal]


@pytest.mark.parametrize(
    ("beginning", "forever"),
    [
        (b"5;x=", b"x" * 1000),
        (CHUNK + b"0\r\n", b"X: y\r\n" * 100),
        (CHUNK + b"0\r\nX: ", b"x" * 1000),
    ],
    ids=["extension of a chunk", "trailers", "trailer"],
)
async def test_endless_bytes_outside_a_body_end_the_connection(url: str, beginning: bytes, forever: bytes) -> None:
    # Its closing may overtake the answer.
    said = await flood(url, POST + b"Transfer-Encoding: chunked\r\n\r\n" + beginning, forever)
    assert statuses(said) in ([], [431])


@pytest.mark.parametrize(
    "lines",
    [b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nhost: a\r\n", b"Host: a\r\nX: y\r\nHost:\r\n"],
    ids=["none", "two", "one twice", "one that is empty"],
)
async def test_a_request_must_have_one_host_header(url: str, lines: bytes) -> None:
    said = await answers_of(url, b"POST /graphql HTTP/1.1\r\nContent-Type: application/json\r\n" + lines + END_OF_POST)
    assert statuses(said) == [400]
    assert b"Host" in said.partition(b"\r\n\r\n")[2]


async def test_requests_before_one_without_a_host_are_answered(url: str) -> None:
    assert statuses(await answers_of(url, HEALTHZ + b"GET /healthz HTTP/1.1\r\n\r\n" + HEALTHZ)) in ([200], [200, 400])


async def test_an_http_1_0_request_needs_no_host(url: str) -> None:
    assert b" 200 " in await answers_of(url, b"GET /healthz HTTP/1.0\r\n\r\n")


async def test_a_trailer_is_not_taken_for_a_header(url: str) -> None:
    request = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK
    trailer = b"Authorization: Bearer no-token\r\n"
    as_header = await answers_of(url, request.replace(b"\r\n\r\n", b"\r\n" + trailer + b"\r\n", 1) + b"0\r\n\r\n")
    as_trailer = await answers_of(url, request + b"0\r\n" + trailer + b"\r\n")
    assert statuses(as_header) == statuses(as_trailer) == [200]
    assert b"invalid_token" in as_header
    assert b"invalid_token" not in as_trailer


async def slow_head(url: str) -> bytes:
    async with connection(url) as (reader, writer):
        said = asyncio.create_task(until_closed(reader))
        writer.write(b"GET /")
        while not said.done():
            writer.write(b"x")
            await asyncio.wait({said}, timeout=0.05)
        return said.result()


async def second_head(url: str, begun: bytes) -> bytes:
    async with connection(url) as (reader, writer):
        writer.write(HEALTHZ)
        assert statuses(await one_answer(reader)) == [200]
        writer.write(begun)
        return await until_closed(reader)


async def body_after_the_response(url: str) -> bytes:
    async with connection(url) as (reader, writer):
        writer.write(REFUSED)
        assert statuses(await one_answer(reader)) == [415]
        writer.write(b"x")
        return await until_closed(reader)


async def test_a_connection_is_closed_when_a_head_does_not_end_or_a_refused_body_continues(
    url: str, subtests: pytest.Subtests
) -> None:
    # At once, since each lasts as long as the limit.
    cases = {
        "nothing": (answers_of(url, b""), []),
        "a letter": (answers_of(url, b"G"), [408]),
        "a head": (answers_of(url, HEALTHZ[:-2]), [408]),
        "HTTP/0.9": (answers_of(url, b"GET /healthz\r\n"), [408]),
        "a slow one": (slow_head(url), [408]),
        "a letter after a request": (second_head(url, b"G"), [408]),
        "an empty line after a request": (second_head(url, b"\r\n"), [408]),
        "a body after the response": (body_after_the_response(url), []),
        "an endless body": (flood(url, REFUSED, b"x" * 1000), [415]),
    }
    answers = await asyncio.gather(*(answer for answer, _ in cases.values()))
    for said, (name, (_, expected)) in zip(answers, cases.items(), strict=True):
        with subtests.test(name):
            assert statuses(said) == expected
            assert expected or said == b""


async def test_pipelining_ten_thousand_requests_closes_the_connection(url: str) -> None:
    answers = await answers_of(url, HEALTHZ * 10_000)
    # One that ran, and those that waited for it.
    assert statuses(answers) == [200] * 11
    assert answers.lower().count(b"connection: close") == 1


async def test_a_complete_request_is_answered_even_if_garbage_follows(url: str) -> None:
    assert statuses(await answers_of(url, HEALTHZ + NONSENSE)) == [200]


@pytest.mark.parametrize(
    "upgrade",
    [b"websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"h2c", b"x"],
    ids=["websocket", "h2c", "unknown"],
)
async def test_bytes_after_an_upgrade_request_are_not_parsed_as_a_request(url: str, upgrade: bytes) -> None:
    request = HEALTHZ.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n\r\n")
    assert statuses(await answers_of(url, request + HEALTHZ)) == [200]


ODD_REQUESTS: list[tuple[bytes, int]] = [
    (b"GET http://[::1 HTTP/1.1", 400),
    (b"GET http://test/healthz HTTP/1.1", 200),
    (b"GET http://test HTTP/1.1", 400),
    (b"GET http://test:99999999/ HTTP/1.1", 400),
    (b"GET * HTTP/1.1", 404),
    (b"OPTIONS * HTTP/1.1", 404),
    (b"CONNECT test:1 HTTP/1.1", 400),
    (b"CONNECT /graphql HTTP/1.1", 405),
    (b"TRACE /graphql HTTP/1.1", 405),
    (b"get /healthz HTTP/1.1", 400),
    (b"INVENTED /healthz HTTP/1.1", 400),
    ("GET /é HTTP/1.1".encode(), 400),
    ("GET /graphql?query={é} HTTP/1.1".encode(), 400),
    (b"GET /%ff%00 HTTP/1.1", 404),
    (b"GET /graphql/explorer/..%2f..%2fsettings.py HTTP/1.1", 404),
    (b"GET //graphql HTTP/1.1", 404),
    (b"GET healthz HTTP/1.1", 400),
    (b"GET /a b HTTP/1.1", 400),
    (b"GET  HTTP/1.1", 400),
    (b"GET /healthz HTTP/0.9", 200),
    (b"GET /healthz HTTP/1.0", 200),
    (b"GET /healthz HTTP/9.9", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM", 400),
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 400),
    (b"GET /healthz HTTP/1.1\r\nX: a\0b", 400),
    (b"GET /healthz HTTP/1.1\r\nX: a\rY: b", 400),
    (b"GET /healthz HTTP/1.1\r\nX: a\r\n b", 400),
    (b"GET /healthz HTTP/1.1\nX: a", 400),
    (b"GET /healthz HTTP/1.1\r\nX : a", 400),
    (b"GET /healthz HTTP/1.1\r\nX: \xff", 200),
    (POST + b"Content-Length: 0\r\nContent-Length: 0", 400),
    (POST + b"Content-Length: 0, 0", 400),
    (POST + b"Content-Length: -1", 400),
    (POST + b"Content-Length: +1", 400),
    (POST + b"Content-Length: 99999999999999999999999", 400),
    (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0", 400),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0", 400),
    (POST + b"Transfer-Encoding: xchunked\r\n\r\n0", 400),
    (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0", 400),
    (POST + b"Transfer-Encoding : chunked\r\n\r\n0", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nzz", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n-1", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff", 400),
]


def with_host(request: bytes) -> bytes:
    return request if b"Host:" in request else request.replace(b" HTTP/1.1", b" HTTP/1.1\r\nHost: test", 1)


@pytest.mark.parametrize(("request_", "status"), ODD_REQUESTS, ids=[repr(request) for request, _ in ODD_REQUESTS])
async def test_a_malformed_request_gets_one_4xx_response(url: str, request_: bytes, status: int) -> None:
    assert statuses(await answers_of(url, with_host(request_) + b"\r\n\r\n" + NONSENSE)) == [status]


def assert_no_complaint(server: Server) -> None:
    """Stop it: after its start it has logged nothing worse than information."""
    started = server.log.index(next(line for line in server.log if "Serving GraphQL at" in line))
    events = [json.loads(line) for line in server.stop().splitlines()[started:]]
    assert [event for event in events if event["level"] != "info"] == []
    assert events


async def test_mistakes_of_clients_are_not_logged(serve: Serve) -> None:
    server = serve()
    for request, _ in ODD_REQUESTS:
        await answers_of(server.url, with_host(request) + b"\r\n\r\n" + NONSENSE)
    await answers_of(server.url, HEALTHZ.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"))
    await answers_of(server.url, head_of(LONGEST_HEAD + 1))
    assert_no_complaint(server)


async def test_half_open_connections_block_no_client_and_are_closed_without_a_complaint(serve: Serve) -> None:
    server = serve()
    url = server.url

    async def half_open() -> list[int]:
        return statuses(await answers_of(url, HEALTHZ[:-2]))

    async with connection(url), httpx.AsyncClient(base_url=url, timeout=FAIL_SAFE_SECONDS) as client:
        attack = [asyncio.create_task(half_open()) for _ in range(200)]
        assert [(await client.get("/healthz")).status_code for _ in range(20)] == [200] * 20
        assert await asyncio.gather(*attack) == [[408]] * 200
        assert (await client.get("/healthz")).status_code == 200
    assert_no_complaint(server)


async def test_half_open_connections_beyond_the_maximum_block_no_client(serve: Serve) -> None:
    server = serve(GRAPHQL_MFA_MAX_CONNECTIONS="20")
    unfinished = [b"", HEALTHZ[:-2], POST + b"Content-Length: 10\r\n\r\n"]
    attack = [asyncio.create_task(answers_of(server.url, request)) for request in unfinished * 20]
    async with httpx.AsyncClient(base_url=server.url, timeout=FAIL_SAFE_SECONDS) as client:
        for _ in range(80):
            response = await client.get("/healthz", headers={"Connection": "close"})
            assert response.status_code == 200
    for closed in itertools.islice(asyncio.as_completed(attack), 40):
        assert await closed == b""
    for connected in attack:
        connected.cancel()
    await asyncio.wait(attack)
    log = server.stop()
    assert log.count("More than 20 connections") == 1
    assert "Traceback" not in log


async def test_a_client_that_does_not_read_responses_is_disconnected(serve: Serve) -> None:
    server = serve(GRAPHQL_MFA_MAX_CONNECTIONS="1", GRAPHQL_MFA_EXPLORER="true")
    large = b"GET /graphql/explorer/graphiql.min.js HTTP/1.1\r\nHost: test\r\n\r\n"
    async with connection(server.url) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        # Far more than fits into the buffers between the two.
        writer.write(large * 10)
        await writer.drain()
        # The only connection is busy, and a busy connection is not closed for a new one.
        while (answers := statuses(await answers_of(server.url, HEALTHZ + NONSENSE))) != [200]:
            assert answers in ([], [503])


async def test_every_worker_has_the_limits(serve: Serve) -> None:
    server = serve("--workers", "2")
    try:
        # They start to listen some time after the address was printed.
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(retries=10), timeout=FAIL_SAFE_SECONDS
        ) as client:
            assert (await client.get(f"{server.url}/healthz")).status_code == 200
        for _ in range(10):
            assert statuses(await answers_of(server.url, head_of(LONGEST_HEAD))) == [200]
            assert statuses(await answers_of(server.url, head_of(LONGEST_HEAD + 1))) == [431]
    finally:
        log = server.stop()
    assert "Traceback" not in log
