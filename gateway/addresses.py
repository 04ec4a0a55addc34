"""The client's address, and the key under which limits count it.

The peer's address counts. Only when the peer is one of `TRUSTED_PROXIES` does `X-Forwarded-For` count: its rightmost
entry that is not itself a trusted proxy. The client wrote the entries further left, so they prove nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from chassis.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Longer than any chain of proxies in use. Each entry costs a few microseconds to parse.
MAX_FORWARDED_ENTRIES = 20
# The IPv6 prefix that one subscriber usually gets (RFC 6177): changing addresses inside it evades no limit.
IPV6_PREFIX_BITS = 64


def client_address(peer: str, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """The address of the client that sent a request.

    Args:
        peer: the address of the connection's other end.
        forwarded_for: the value of `X-Forwarded-For`, several joined by commas; None without the header.
        trusted: the networks of `TRUSTED_PROXIES`.
    """
    address = _parse(peer)
    if address is None:
        return peer
    if forwarded_for and _is_in(address, trusted):
        for entry in reversed(forwarded_for.rsplit(",", MAX_FORWARDED_ENTRIES)[-MAX_FORWARDED_ENTRIES:]):
            forwarded = _parse(entry)
            if forwarded is None:
                break
            address = forwarded
            if not _is_in(address, trusted):
                break
    return str(address)


def is_trusted(peer: str, trusted: Sequence[Network]) -> bool:
    """Whether the connection's other end is a trusted proxy."""
    address = _parse(peer)
    return address is not None and _is_in(address, trusted)


def limit_key(address: str) -> str:
    """The key under which limits count `address`: the whole IPv4 address, or the /64 of an IPv6 address."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, IPV6_PREFIX_BITS), strict=False))
    return address if parsed is None else str(parsed)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _parse(text: str) -> Address | None:
    """An address as proxies write it: `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1`, `[2001:db8::1]:4711`."""
    text = text.strip()[:100]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A socket that listens on both families shows IPv4 peers as ::ffff:203.0.113.7.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
