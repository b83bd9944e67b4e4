"""Telling a receiver of security events by HTTP, as the Standard Webhooks specification has it."""

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from datetime import UTC
from threading import Thread

import httpcore
from standardwebhooks import Webhook as Signer

from graphql_mfa.core.addresses import Address, Network, parse_address
from graphql_mfa.core.outbound_addresses import may_be_called
from graphql_mfa.core.security_events import SecurityEvent
from graphql_mfa.flows.notifications import DeliveryError
from graphql_mfa.services import Clock
from graphql_mfa.settings import Settings

Resolve = Callable[[str, int], Awaitable[list[str]]]
_SUCCESSES = range(200, 300)


class Webhook:
    """One receiver. Each delivery has a connection of its own, and nothing of the answer is read but its head."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """settings: they name a receiver."""
        self._url = httpcore.URL(settings.webhook_url or "")
        self._signers = [Signer(secret) for secret in settings.webhook_secrets]
        self._clock = clock
        self._tls = ssl.create_default_context()
        # Without TLS whoever is between reads along, so it is only for networks that somebody named.
        self._network = _CheckedNetwork(settings.webhook_allowed_networks, public=self._url.scheme == b"https")

    async def deliver(self, event: SecurityEvent) -> None:
        """Send it. Raises DeliveryError when the receiver answers with anything but a success."""
        body = body_of(event)
        now = self._clock()
        signatures = [signer.sign(str(event.id), now.astimezone(UTC), body) for signer in self._signers]
        headers = {
            "Content-Type": "application/json",
            "Connection": "close",
            "User-Agent": "graphql-mfa",
            "webhook-id": str(event.id),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        connection = httpcore.AsyncHTTPConnection(
            self._url.origin, ssl_context=self._tls, network_backend=self._network
        )
        async with (
            connection,
            connection.stream("POST", self._url, headers=list(headers.items()), content=body.encode()) as answer,
        ):
            if answer.status not in _SUCCESSES:
                raise DeliveryError(f"the receiver answered with status {answer.status}")


def body_of(event: SecurityEvent) -> str:
    """What is sent, and signed."""
    at = event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {
        "id": str(event.id),
        "kind": event.kind,
        "userId": str(event.user_id),
        "username": event.username,
        "ipAddress": event.ip_address,
        "userAgent": event.user_agent,
    }
    return json.dumps({"type": event.kind.type, "timestamp": at, "data": data}, separators=(",", ":"))


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that may be called, and to the very ones that were looked at."""

    def __init__(self, allowed: Collection[Network], *, public: bool) -> None:
        self._allowed, self._public = allowed, public
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = [parse_address(address) for address in await resolve(host, port)]
        addresses = [address for address in found if address and self._may_be_called(address)]
        # One that may not be called is a mistake or an attack, whatever stands beside it.
        if not addresses or len(addresses) < len(found):
            raise DeliveryError("the receiver's name leads to an address that may not be called")
        *others, last = addresses
        for address in others:
            with suppress(httpcore.ConnectError):
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
        return await self._inner.connect_tcp(str(last), port, timeout, local_address, socket_options)

    def _may_be_called(self, address: Address) -> bool:
        return may_be_called(address, self._allowed, public=self._public)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, or of an address. Raises OSError.

    In a thread that nobody waits for: a resolver that does not answer must neither keep the process from ending nor
    take a thread from others.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str], error: OSError | None) -> None:
        if found.done():
            return
        if error:
            found.set_exception(error)
        else:
            found.set_result(addresses)

    def look_up() -> None:
        addresses, fault = [], None
        try:
            addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            fault = error
        with suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(settle, addresses, fault)

    Thread(target=look_up, name="webhook-resolver", daemon=True).start()
    return await found
