"""uvicorn's HTTP protocol, with bounds on the bytes, the time and the connections that clients may take."""

import asyncio
import logging
import socket
from functools import cache
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_log = logging.getLogger("graphql_mfa")
# uvicorn warns of each mistake of a client; `logs.py` leaves out what is less than an error of ours.
_protocol_log = logging.getLogger("graphql_mfa.http_server")

_LONGEST_PIPELINE = 10


class BoundedProtocol(HttpToolsProtocol):
    """One connection. How long a body or an answer may take is for the application to bound."""

    def __init__(
        self, *args: Any, max_head_bytes: int, head_timeout_seconds: int, max_connections: int, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _protocol_log
        self.url = b""
        self._max_head_bytes = max_head_bytes
        self._head_timeout_seconds = head_timeout_seconds
        self._max_connections = max_connections
        self._bytes_without_progress = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False

    @property
    def answering(self) -> bool:
        """Whether a request is being read to its end, or run."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, and keep to the number of connections."""
        super().connection_made(transport)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # A client that does not take its answers: Linux ends the connection.
            milliseconds = 1000 * self._head_timeout_seconds
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._set_deadline()
        if len(self.connections) > self._max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse no more at once than a head may still have, so that nothing longer is ever held."""
        if self._deadline is None and not self.answering:
            self._set_deadline()
        position = 0
        while position < len(data) and not self._refused and not self.transport.is_closing():
            piece = data[position : position + self._max_head_bytes - self._bytes_without_progress]
            position += len(piece)
            self._bytes_without_progress += len(piece)
            super().data_received(piece)
            if self._bytes_without_progress >= self._max_head_bytes:
                mostly_url = len(self.url) > self._max_head_bytes // 2
                self._refuse(
                    HTTPStatus.REQUEST_URI_TOO_LONG if mostly_url else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                )

    def on_message_begin(self) -> None:
        """A request begins. To raise is to refuse it."""
        if len(self.pipeline) >= _LONGEST_PIPELINE:
            raise ValueError
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole. To raise is to refuse it."""
        self._bytes_without_progress = 0
        self._clear_deadline()
        hosts = sum(name == b"host" for name, _ in self.headers)
        # RFC 9112 3.2: a proxy might take the one line and the application the other.
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            self._refuse(HTTPStatus.BAD_REQUEST, "A request has one Host header.")
            raise ValueError
        super().on_headers_complete()
        # The parser gives trailers as headers: the application must not find them among those.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """A part of the body is here; chunk extensions and trailers are no progress."""
        self._bytes_without_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._bytes_without_progress = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn calls it for what it can't parse
        """Refuse what is not HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST)

    def _unsupported_upgrade_warning(self) -> None:
        # The request is answered; what follows it may be in the protocol that it asked for.
        self._refuse(HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus, reason: str = "") -> None:
        """Read no further request, and close the connection once its client can have had the answers."""
        if self._refused:
            return
        self._refused = True
        if self.answering and not self.cycle.more_body:
            # The requests before are whole: their answers come first, and the last says `Connection: close`.
            self.cycle.keep_alive = False
            return
        if not self.pipeline:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            body = reason or status.phrase
            self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        if self.answering:
            self.transport.close()
        else:
            # Closed now, while bytes still arrive, it would be reset, and the answer lost. The deadline closes it.
            self.transport.write_eof()

    def _make_room(self) -> None:
        """Hang up on a client that has no whole request here, so that half-open connections keep nobody out."""
        _warn_of_too_many(self._max_connections)
        others = (one for one in self.connections if isinstance(one, BoundedProtocol) and one is not self)
        for other in others:
            if not other.transport.is_closing() and (not other.answering or other.cycle.more_body):
                other.transport.abort()
                return
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        self.transport.close()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self._head_timeout_seconds, self._time_out)

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
    _log.warning("More than %d connections; some are closed to make room. This is told once.", connections)
