"""Which addresses this service may call by itself."""

import ipaddress
from collections.abc import Collection

from graphql_mfa.core.addresses import Address, Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 2.1


def may_be_called(address: Address, allowed: Collection[Network], *, public: bool = True) -> bool:
    """Whether it is in one of those networks or, with `public`, an ordinary address of the internet.

    An IPv6 address that leads to an IPv4 one is judged by where it leads.
    """
    target = _target(address)
    if any(place in network for place in (address, target) for network in allowed):
        return True
    special = target.is_multicast or target.is_reserved or getattr(target, "is_site_local", False)
    return public and target.is_global and not special


def _target(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address
