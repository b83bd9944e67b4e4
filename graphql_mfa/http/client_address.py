"""The address that a request came from, behind proxies or on this machine."""

import logging
import re
from datetime import datetime, timedelta

from starlette.requests import Request

from graphql_mfa.client import Client
from graphql_mfa.core.addresses import Address, address_group, is_loopback, is_proxy, parse_address, source
from graphql_mfa.services import Services

_log = logging.getLogger("graphql_mfa")

_FORWARDING_HEADERS = ("forwarded", "via", "x-real-ip")
# Set by proxies, content delivery networks and tunnels that set none of the above.
_OTHER_FORWARDING_HEADERS = re.compile(
    "x-forwarded-.*|x-original-.*|x-client-ip|x-cluster-client-ip|true-client-ip|cf-connecting-ip|cdn-loop"
)
_HOST = re.compile(r"(localhost|[0-9.]{7,15}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.IGNORECASE)
_WARNING_PERIOD = timedelta(hours=1)
_WARNING = (
    "X-Forwarded-For came from {peer}, which GRAPHQL_MFA_TRUSTED_PROXIES does not name: it is ignored, and all clients "
    "behind that address count as one."
)


class UntrustedProxy:
    """Peers that send `X-Forwarded-For` without being trusted: logged once an hour at most, and shown by /readyz."""

    def __init__(self) -> None:
        self._logged_at: datetime | None = None
        self._seen_at: datetime | None = None

    def report(self, peer: Address | None, now: datetime) -> None:
        """Log a request of such a peer, unless one was logged within the hour."""
        self._seen_at = now
        if self._logged_at is None or now - self._logged_at >= _WARNING_PERIOD:
            self._logged_at = now
            _log.warning("%s", _WARNING.format(peer=peer))

    def warning(self, now: datetime) -> str | None:
        """The warning, if such a request came within the last hour. It names no address, since /readyz is public."""
        if self._seen_at is None or now - self._seen_at >= _WARNING_PERIOD:
            return None
        return _WARNING.format(peer="an address")


def client_of(request: Request, services: Services, untrusted_proxy: UntrustedProxy) -> Client:
    """The client, by the address that trusted proxies forward, else by the peer's."""
    forwarded_for = ",".join(request.headers.getlist("x-forwarded-for"))
    peer = parse_address(request.client.host) if request.client else None
    proxies = services.settings.trusted_proxies
    address, shared = source(peer, forwarded_for, proxies)
    if not is_proxy(peer, proxies):
        shared = shared or any(name in request.headers for name in _FORWARDING_HEADERS)
        if forwarded_for:
            untrusted_proxy.report(peer, services.clock())
    return Client(address_group(address), request.headers, str(address) if address else None, shared)


def is_local(request: Request) -> bool:
    """Whether a browser on this machine sent the request to a loopback address.

    A proxy on this machine is a loopback peer too, but forwards another Host or adds headers of its own. A site whose
    name was rebound to a loopback address (DNS rebinding) sends its own name as Host.
    """
    host = _HOST.fullmatch(request.headers.get("host", ""))
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and host is not None
        and is_loopback(host[1].strip("[]"))
        and not any(
            name in _FORWARDING_HEADERS or _OTHER_FORWARDING_HEADERS.fullmatch(name) for name in request.headers
        )
    )
