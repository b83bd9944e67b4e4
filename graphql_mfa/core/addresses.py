"""Which client addresses count as one."""

import ipaddress

_IPV6_NETWORK = 64  # a single subscriber usually holds at least a /64 (RFC 6177)


def address_group(host: str | None) -> str:
    """The address that limits are counted by: IPv4 as it is, IPv6 by its /64, one group for what is neither."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, _IPV6_NETWORK), strict=False))
    return str(address)
