from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from graphql_mfa.core.addresses import address_group, networks, parse_address, source
from tests.core.texts import any_text


def group_of(host: str | None) -> str:
    return address_group(parse_address(host or ""))


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("::ffff:192.0.2.7%eth0", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::1%../../x", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_addresses_of_one_subscriber_share_a_group(host: str, group: str) -> None:
    assert group_of(host) == group


@pytest.mark.parametrize(
    "host",
    [
        *(None, "", "testclient", "unix:", "localhost", "999.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4:80", "1.2.3.4/24"),
        *("[::1]", "::1/64", ":::", "%eth0", "1.2.3.4, 5.6.7.8", "\uff11.2.3.4", "\ud800", "\0", "1" * 10_000),
    ],
)
def test_all_malformed_addresses_share_one_group(host: str | None) -> None:
    assert group_of(host) == "unknown"


@given(any_text)
def test_the_group_of_any_text_is_short(host: str) -> None:
    assert len(group_of(host)) <= len("ffff:ffff:ffff:ffff::/64")


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_two_ipv6_addresses_share_a_group_when_they_share_64_bits(
    one: IPv6Address, other: IPv6Address, interface: int
) -> None:
    neighbour = IPv6Address(int(one) >> 64 << 64 | interface)
    assume(not (one.ipv4_mapped or other.ipv4_mapped or neighbour.ipv4_mapped))
    assert group_of(str(one)) == group_of(str(neighbour))
    assert (group_of(str(one)) == group_of(str(other))) is (int(one) >> 64 == int(other) >> 64)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_its_own_group_even_when_mapped_to_ipv6(address: IPv4Address) -> None:
    assert group_of(str(address)) == group_of(f"::ffff:{address}") == str(address)


PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("address", "around"),
    [
        ("198.51.100.7", ["198.51.100.7"]),
        ("::ffff:198.51.100.7", ["198.51.100.7"]),
        ("2001:db8:1:2345::7", ["2001:db8:1::/48", "2001:db8:1:2300::/56", "2001:db8:1:2345::/64"]),
        ("", ["unknown"]),
    ],
)
def test_an_ipv6_address_counts_in_three_networks_and_any_other_in_one(address: str, around: list[str]) -> None:
    assert list(networks(group_of(address))) == around


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.1", "198.51.100.7", "203.0.113.1"),  # no proxy of ours: its header is not believed
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("2001:db8::1", "2001:db9::7", "2001:db9::7"),
        ("10.0.0.1", "198.51.100.7, 10.0.0.2,10.0.0.3", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),  # addresses written by the client are ignored
        ("10.0.0.1", "10.0.0.9", "10.0.0.9"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db9::7]:4711", "2001:db9::7"),
        ("10.0.0.1", "[2001:db9::7]", "2001:db9::7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", ",", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "for=198.51.100.7", "10.0.0.1"),
        (None, "198.51.100.7", None),
    ],
)
def test_the_client_is_the_address_seen_by_the_outermost_trusted_proxy(
    peer: str | None, forwarded_for: str, client: str | None
) -> None:
    found = source(parse_address(peer or ""), forwarded_for, PROXIES)

    assert found.address == parse_address(client or "")


@given(any_text)
def test_forwarded_headers_of_an_untrusted_peer_are_ignored(forwarded_for: str) -> None:
    peer = parse_address("203.0.113.1")

    assert source(peer, forwarded_for, PROXIES).address == peer


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "shared"),
    [
        ("203.0.113.1", "", False),
        ("10.0.0.1", "198.51.100.7", False),
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", False),
        ("203.0.113.1", "198.51.100.7", True),  # a proxy that is not named
        ("10.0.0.1", "198.51.100.7, 203.0.113.1", True),  # the same, before a named one
        ("10.0.0.1", "", True),  # a named one that does not say for whom
        ("10.0.0.1", "unknown", True),
        (None, "", True),
    ],
)
def test_an_address_is_shared_when_it_may_be_a_proxys(peer: str | None, forwarded_for: str, shared: bool) -> None:
    assert source(parse_address(peer or ""), forwarded_for, PROXIES).shared is shared
