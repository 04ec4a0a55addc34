"""The client address for rate limits: the peer's, or the one that a trusted proxy reports."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.addresses import MAX_FORWARDED_ENTRIES, client_address, is_trusted, limit_key

PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # the peer is no trusted proxy
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.9, 198.51.100.1", "198.51.100.1"),  # the client forged the first entry
        ("10.0.0.1", "192.0.2.9, 198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("10.0.0.1", "10.2.3.5, 10.2.3.4", "10.2.3.5"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("::1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_client_address_is_reported_by_trusted_proxies_only(peer: str, forwarded: str | None, client: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


def test_a_long_chain_is_read_from_its_end_only() -> None:
    chain = ", ".join(["198.51.100.1", *["10.0.0.9"] * 5000])
    assert client_address("10.0.0.1", chain, PROXIES) == "10.0.0.9"
    chain = ", ".join(["198.51.100.1", *["10.0.0.9"] * (MAX_FORWARDED_ENTRIES - 1)])
    assert client_address("10.0.0.1", chain, PROXIES) == "198.51.100.1"


def test_peer_in_a_trusted_network_is_trusted() -> None:
    assert is_trusted("10.9.8.7", PROXIES)
    assert is_trusted("::ffff:10.9.8.7", PROXIES)
    assert not is_trusted("11.0.0.1", PROXIES)
    assert not is_trusted("nonsense", PROXIES)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_limit_key_is_the_address_or_its_ipv6_network(address: str, key: str) -> None:
    assert limit_key(address) == key
