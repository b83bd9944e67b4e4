"""A receiver of webhooks on a loopback address."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Request:
    """A request that the receiver got. headers: by lower-case name."""

    line: str
    headers: dict[str, str]
    body: str

    @property
    def event(self) -> dict[str, Any]:
        """The event that it sends."""
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class WebhookReceiver:
    """Answers each request with `answer`, or not at all if it is None. drips: repeats it until the client leaves."""

    address: str
    port: int = 0
    answer: bytes | None = b"HTTP/1.1 204 No Content\r\n\r\n"
    drips: bool = False
    requests: asyncio.Queue[Request] = field(default_factory=asyncio.Queue)
    connections: int = 0

    @property
    def url(self) -> str:
        """The URL of the receiver."""
        return f"http://{self.address}:{self.port}/events"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.rstrip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (entry.partition(":") for entry in fields)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.put_nowait(Request(line, headers, body.decode()))
            if self.answer is None:
                await reader.read()
                return
            writer.write(self.answer)
            await writer.drain()
            while self.drips:
                await asyncio.sleep(0.01)
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(
    address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[WebhookReceiver]:
    """A receiver that runs."""
    receiver = WebhookReceiver(address)
    server = await asyncio.start_server(receiver.serve, address, port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
