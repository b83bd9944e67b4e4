"""Raw requests that no GraphQL client sends, and a limit on the function calls of a request."""

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import httpx
import pytest

from graphql_mfa.http.public_errors import ErrorCode
from tests.api_client import Api

POLICY = "{ policy { issuer } }"
JSON = {"Content-Type": "application/json"}
MOST_CALLS = 150_000
"""Function calls of one request: 15 to 25 ms."""


async def post(api: Api, content: bytes | str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a raw body."""
    return await api.http.post("/graphql", content=content, headers=JSON if headers is None else headers)


def messages(response: httpx.Response) -> list[str]:
    """The messages of a response that has errors only."""
    answer = response.json()
    assert set(answer) == {"errors"}, answer
    assert answer["errors"], answer
    for error in answer["errors"]:
        assert set(error) <= {"message", "locations", "path", "extensions"}, error
        assert error["extensions"]["code"] in {*ErrorCode}, error
    return [error["message"] for error in answer["errors"]]


def assert_headers(response: httpx.Response) -> None:
    """Assert the headers of every response of the GraphQL endpoint."""
    assert response.headers.get("Cache-Control") == "no-store"
    assert {part.strip() for part in response.headers.get("Vary", "").split(",")} >= {"Accept", "Authorization"}
    assert response.headers.get("X-Content-Type-Options") == "nosniff"


def assert_refusal(response: httpx.Response, status: int) -> None:
    """Assert a refusal with this status, as JSON with errors, without internals."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].split(";")[0] in {"application/json", "application/graphql-response+json"}
    assert "Internal server error." not in messages(response)
    assert_headers(response)


@contextmanager
def function_calls(at_most: int = MOST_CALLS, *, of_new_threads: bool = True) -> Iterator[None]:
    """Work that must not keep the event loop from other clients: counted in calls, the same on a busy machine.

    of_new_threads: whether those of threads that start meanwhile count as well.
    """
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    if of_new_threads:
        threading.setprofile(count)
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert calls < at_most, f"{calls:,} calls"


def assert_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Assert that nothing was logged: clients' mistakes must not fill the log."""
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def raw(url: str, request: bytes, *, until: bytes = b"") -> tuple[bytes, bytes]:
    """Send bytes to a real server and return the head of its response; with `until`, also the body up to that text."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(60):
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readuntil(until) if until else b""
            return head, body
    finally:
        writer.close()


def operation(query: str = POLICY, **members: Any) -> bytes:
    """An operation as a JSON body; lone surrogates are escaped."""
    return json.dumps({"query": query, **members}).encode()


def request_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The log records of requests, in the order of their responses."""
    usual = vars(logging.makeLogRecord({})).keys() | {"message"}
    return [
        {"level": record.levelno, "message": record.getMessage()}
        | {name: value for name, value in vars(record).items() if name not in usual}
        for record in caplog.records
        if record.name == "graphql_mfa.requests"
    ]
