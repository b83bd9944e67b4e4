"""Send security events to a receiver over HTTP, signed as Standard Webhooks 1.0 specifies."""

import json
import ssl
from collections.abc import Collection
from datetime import UTC
from typing import Any

import httpcore2
from standardwebhooks import Webhook as Signer

from graphql_mfa.core.addresses import Network, parse_address
from graphql_mfa.core.security_events import SecurityEvent
from graphql_mfa.flows.notifications import DeliveryError
from graphql_mfa.services import Clock
from graphql_mfa.settings import Settings


class AddressNotAllowedError(Exception):
    """Plain http would leave the networks that the settings allow it in."""


class Webhook:
    """A receiver. Each delivery opens a connection and closes it after the response's head; the body is not read.

    httpcore2 follows no redirect and reads no proxy from the environment. The caller bounds the time of a delivery.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """settings: with `webhook_url` and `webhook_secret`."""
        self._url = httpcore2.URL(settings.webhook_url or "")
        self._signers = [Signer(secret) for secret in settings.webhook_secrets]
        self._clock = clock
        self._tls = ssl.create_default_context()
        encrypted = self._url.scheme == b"https"
        self._network = None if encrypted else _AllowedNetworks(settings.webhook_allowed_networks)

    async def deliver(self, event: SecurityEvent) -> None:
        """Send an event. Raises DeliveryError for any status but 2xx, and what httpcore2 raises."""
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
        connection = httpcore2.AsyncHTTPConnection(
            self._url.origin, ssl_context=self._tls, network_backend=self._network
        )
        async with (
            connection,
            connection.stream("POST", self._url, headers=list(headers.items()), content=body.encode()) as response,
        ):
            if not 200 <= response.status < 300:
                raise DeliveryError(f"status {response.status}")


def body_of(event: SecurityEvent) -> str:
    """The body of a request, which its signature covers."""
    at = event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {
        "id": str(event.id),
        "kind": event.kind,
        "userId": str(event.user_id),
        "username": event.username,
        "ipAddress": event.ip_address,
        "userAgent": event.user_agent,
        "count": event.count,
        "factor": event.factor,
    }
    return json.dumps({"type": event.kind.type, "timestamp": at, "data": data}, separators=(",", ":"))


class _AllowedNetworks(httpcore2.AnyIOBackend):
    """Checks the address of a connection before anything is sent: a name may resolve to another one each time."""

    def __init__(self, networks: Collection[Network]) -> None:
        self._networks = networks

    async def connect_tcp(self, *arguments: Any, **named: Any) -> httpcore2.AsyncNetworkStream:
        stream = await super().connect_tcp(*arguments, **named)
        address = parse_address(stream.get_extra_info("server_addr")[0])
        if address is None or not any(address in network for network in self._networks):
            await stream.aclose()
            raise AddressNotAllowedError
        return stream
