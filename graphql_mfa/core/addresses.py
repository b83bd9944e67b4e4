"""Whose address a request came from, and which addresses count as one."""

import ipaddress
from collections.abc import Collection
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV6_NETWORK = 64  # a single subscriber usually has at least a /64 (RFC 6177)
_WIDER_IPV6_NETWORKS = (48, 56)  # what providers assign to one site (RFC 6177 2)
_CACHED_ADDRESSES = 1024


def client_address(peer: Address | None, forwarded_for: str, proxies: Collection[Network]) -> Address | None:
    """The client's address: the peer's, unless the peer is one of the proxies that are believed.

    forwarded_for: what `X-Forwarded-For` says, all of its lines joined by commas. Each proxy appends whom it heard, so
    it is read from its end, and only as far as those proxies wrote it; what comes before is the client's own claim.
    """
    address = peer
    for hop in reversed(forwarded_for.split(",")):
        if not is_proxy(address, proxies):
            break
        if (named := parse_address(_without_port(hop))) is None:
            break
        address = named
    return address


def is_proxy(address: Address | None, proxies: Collection[Network]) -> bool:
    """Whether that is one of the proxies that are believed."""
    return address is not None and any(address in network for network in proxies)


@lru_cache(_CACHED_ADDRESSES)
def address_group(address: Address | None) -> str:
    """The address that limits are counted by: IPv4 as it is, IPv6 by its /64, one group for what is neither."""
    if address is None:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, _IPV6_NETWORK), strict=False))
    return str(address)


@lru_cache(_CACHED_ADDRESSES)
def networks(group: str) -> tuple[str, ...]:
    """The networks that contain an address group, from the widest to the group itself: IPv6 also by its /48 and /56."""
    if "/" not in group:
        return (group,)
    network = ipaddress.IPv6Network(group)
    return (*(str(network.supernet(new_prefix=length)) for length in _WIDER_IPV6_NETWORKS), group)


@lru_cache(_CACHED_ADDRESSES)
def parse_address(host: str) -> Address | None:
    """An address without its zone, as IPv4 where it is an IPv4 one in IPv6's form; None for what is no address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(hop: str) -> str:
    """Some proxies write `192.0.2.1:4711` and `[2001:db8::1]:4711`."""
    host = hop.strip()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
