"""uvicorn's HTTP protocol, with limits on the size of heads, on time and on connections."""

import asyncio
import logging
import socket
from functools import cache
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_log = logging.getLogger("graphql_mfa")
# uvicorn logs clients' mistakes as warnings; `logs.py` sets this logger to errors.
_protocol_log = logging.getLogger("graphql_mfa.http_server")

MAX_HEAD_BYTES = 16_384
"""Longest request line with its headers. Apache and nginx accept 8 KiB a line."""
HEAD_TIMEOUT_SECONDS = 10
"""How long a client may take to send a request's head and, on Linux, to read a response."""
_LONGEST_PIPELINE = 10


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The application limits the time of bodies and responses."""

    def __init__(self, *args: Any, max_connections: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _protocol_log
        self.url = b""
        self._max_connections = max_connections
        self._bytes_without_progress = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False

    @property
    def answering(self) -> bool:
        """Whether a request's head is complete and its response isn't."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline, and close another connection when there are too many."""
        super().connection_made(transport)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Linux closes the connection of a client that doesn't read its responses.
            milliseconds = 1000 * HEAD_TIMEOUT_SECONDS
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._set_deadline()
        if len(self.connections) > self._max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse at most the bytes that the head may still have, so that a longer one is never buffered."""
        if self._deadline is None and not self.answering:
            self._set_deadline()
        position = 0
        while position < len(data) and not self._refused and not self.transport.is_closing():
            piece = data[position : position + MAX_HEAD_BYTES - self._bytes_without_progress]
            position += len(piece)
            self._bytes_without_progress += len(piece)
            super().data_received(piece)
            if self._bytes_without_progress >= MAX_HEAD_BYTES:
                mostly_url = len(self.url) > MAX_HEAD_BYTES // 2
                self._refuse(
                    HTTPStatus.REQUEST_URI_TOO_LONG if mostly_url else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                )

    def on_message_begin(self) -> None:
        """Start a request. Raising refuses it."""
        if len(self.pipeline) >= _LONGEST_PIPELINE:
            raise ValueError
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End the head. Raising refuses the request."""
        self._bytes_without_progress = 0
        self._clear_deadline()
        hosts = sum(name == b"host" for name, _ in self.headers)
        # RFC 9112 3.2: a proxy may read the other one.
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            self._refuse(HTTPStatus.BAD_REQUEST, "A request has one Host header.")
            raise ValueError
        super().on_headers_complete()
        # The parser reports trailers as headers, and would append them to the list that the application reads.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Count a part of the body as progress, unlike chunk extensions and trailers."""
        self._bytes_without_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._bytes_without_progress = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn calls it
        """Refuse bytes that can't be parsed."""
        self._refuse(HTTPStatus.BAD_REQUEST)

    def _unsupported_upgrade_warning(self) -> None:
        # Bytes after this request may be in the requested protocol.
        self._refuse(HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus, reason: str = "") -> None:
        """Stop reading requests, and close the connection after the responses are sent."""
        if self._refused:
            return
        self._refused = True
        if self.answering and not self.cycle.more_body:
            # Pending responses are sent first; the last one has `Connection: close`.
            self.cycle.keep_alive = False
            return
        if not self.pipeline:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            body = reason or status.phrase
            self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        if self.answering:
            self.transport.close()
        else:
            # Closing while bytes still arrive would reset the connection and lose the response; the deadline closes it.
            self.transport.write_eof()

    def _make_room(self) -> None:
        """Close a connection without a complete request, so that idle ones can't exhaust the limit."""
        _warn_of_too_many(self._max_connections)
        others = (other for other in self.connections if isinstance(other, BoundedProtocol) and other is not self)
        for other in others:
            if not other.transport.is_closing() and (not other.answering or other.cycle.more_body):
                other.transport.abort()
                return
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        self.transport.close()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._time_out)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self) -> None:
        if self._bytes_without_progress:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        self.transport.close()


@cache
def _warn_of_too_many(connections: int) -> None:
    _log.warning("More than %d connections; some are closed to make room. This is logged once.", connections)
