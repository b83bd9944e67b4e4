"""Client addresses: behind proxies, and grouped for limits."""

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV6_NETWORK = 64  # a single subscriber usually has at least a /64 (RFC 6177)
_WIDER_IPV6_NETWORKS = (48, 56)  # what providers assign to one site (RFC 6177 2)
_CACHED_ADDRESSES = 1024


class Source(NamedTuple):
    """The client of a request. shared: the address may be that of a proxy, which other clients use too."""

    address: Address | None
    shared: bool


def source(peer: Address | None, forwarded_for: str, proxies: Collection[Network]) -> Source:
    """The client's address: the peer, unless the peer is a trusted proxy.

    forwarded_for: the `X-Forwarded-For` headers, joined by commas. Each proxy appends the address that connected to it,
    so the header is read from its end, as far as trusted proxies wrote it. A client can forge the rest.
    """
    address, hops = peer, forwarded_for.split(",")
    while hops and is_proxy(address, proxies) and (named := parse_address(_without_port(hops[-1]))) is not None:
        address = named
        hops.pop()
    claimed = any(hop.strip() for hop in hops)
    return Source(address, shared=address is None or is_proxy(address, proxies) or claimed)


def is_proxy(address: Address | None, proxies: Collection[Network]) -> bool:
    """Whether the address is that of a trusted proxy."""
    return address is not None and any(address in network for network in proxies)


@lru_cache(_CACHED_ADDRESSES)
def address_group(address: Address | None) -> str:
    """The key of limits by address: an IPv4 address, the /64 of an IPv6 address, or "unknown"."""
    if address is None:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, _IPV6_NETWORK), strict=False))
    return str(address)


@lru_cache(_CACHED_ADDRESSES)
def networks(group: str) -> tuple[str, ...]:
    """The networks of an address group, widest first: the /48, /56 and /64 of IPv6; for IPv4 the address alone."""
    if "/" not in group:
        return (group,)
    network = ipaddress.IPv6Network(group)
    return (*(str(network.supernet(new_prefix=length)) for length in _WIDER_IPV6_NETWORKS), group)


def is_loopback(host: str) -> bool:
    """Whether a host name or an address is loopback: `localhost`, 127.0.0.0/8 or ::1."""
    address = parse_address(host)
    return address.is_loopback if address else host.lower() == "localhost"


@lru_cache(_CACHED_ADDRESSES)
def parse_address(host: str) -> Address | None:
    """An address without its zone, IPv4-mapped IPv6 as IPv4. None if malformed."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(hop: str) -> str:
    """Strip the port that some proxies add: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    host = hop.strip()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
