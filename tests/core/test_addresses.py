from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from graphql_mfa.core.addresses import address_group
from tests.core.texts import any_text


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
def test_one_subscriber_is_one_group(host: str, group: str) -> None:
    assert address_group(host) == group


@pytest.mark.parametrize(
    "host",
    [
        *(None, "", "testclient", "unix:", "localhost", "999.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4:80", "1.2.3.4/24"),
        *("[::1]", "::1/64", ":::", "%eth0", "1.2.3.4, 5.6.7.8", "\uff11.2.3.4", "\ud800", "\0", "1" * 10_000),
    ],
)
def test_what_is_no_address_is_one_group(host: str | None) -> None:
    assert address_group(host) == "unknown"


@given(any_text)
def test_any_text_has_a_short_group(host: str) -> None:
    assert len(address_group(host)) <= len("ffff:ffff:ffff:ffff::/64")


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_two_ipv6_addresses_share_a_group_when_they_share_64_bits(
    one: IPv6Address, other: IPv6Address, interface: int
) -> None:
    neighbour = IPv6Address(int(one) >> 64 << 64 | interface)
    assume(not (one.ipv4_mapped or other.ipv4_mapped or neighbour.ipv4_mapped))
    assert address_group(str(one)) == address_group(str(neighbour))
    assert (address_group(str(one)) == address_group(str(other))) is (int(one) >> 64 == int(other) >> 64)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_its_own_group_also_inside_ipv6(address: IPv4Address) -> None:
    assert address_group(str(address)) == address_group(f"::ffff:{address}") == str(address)
