"""Which addresses the service may call."""

import ipaddress

import pytest

from graphql_mfa.core.outbound_addresses import may_be_called

PUBLIC = ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
SPECIAL = [
    *("127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("192.0.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1", "2001::1"),
    # Ways in which an IPv4 address is written as one of IPv6, of a private one.
    *("::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "2002:a00:1::1"),
    *("2002:7f00:1::1", "::7f00:1", "64:ff9b:1::808:808"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called_unless_only_the_allowed_ones_may(address: str) -> None:
    assert may_be_called(ipaddress.ip_address(address), ())
    assert not may_be_called(ipaddress.ip_address(address), (), public=False)


@pytest.mark.parametrize("address", SPECIAL)
def test_any_other_may_not_unless_its_network_is_allowed(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    other = ipaddress.ip_network("203.0.113.0/24")
    assert not may_be_called(parsed, [other])
    assert may_be_called(parsed, [other, ipaddress.ip_network(parsed)], public=False)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "2002:a01:203::1"])
def test_an_allowed_network_is_reached_by_every_way_to_it(address: str) -> None:
    allowed = [ipaddress.ip_network("10.0.0.0/8")]
    assert may_be_called(ipaddress.ip_address(address), allowed)
