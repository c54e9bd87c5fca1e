"""Decide which addresses a download may connect to.

If an address embeds another one (IPv4-mapped, NAT64, 6to4, Teredo, ISATAP), the embedded address
decides, because the packets go there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from ..errors import ConfigurationError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Range: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# For all other addresses, ``is_global`` decides. In IPv6, only 2000::/3 has ever been assigned for
# public use (RFC 4291, IANA IPv6 address space). All addresses outside it are denied: site-local,
# multicast, IPv4-compatible and the rest.
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
_DENIED: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "224.0.0.0/4",  # multicast
        "192.88.99.0/24",  # 6to4 relays
        "3fff::/20",  # documentation
    )
)
# Ranges of tunnels, carriers and company networks (RFC 1918, 2544, 4193, 6598).
_PRIVATE: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "fc00::/7",
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})  # RFC 5214, section 6.1
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")  # deprecated by RFC 4291, section 2.5.5.1
_LOW: Final = 2**32 - 1
# For prefixes of 48, 56, 64 and 96 bits: the offsets of the four IPv4 bytes, and the offset from
# which all bytes must be zero (RFC 6052, section 2.2).
_EMBEDDED: Final = (
    ((6, 7, 9, 10), 11),
    ((7, 9, 10, 11), 12),
    ((9, 10, 11, 12), 13),
    ((12, 13, 14, 15), 16),
)


def address_ranges(texts: Iterable[object]) -> tuple[Range, ...]:
    """Parse address ranges such as ``198.18.0.0/15``.

    Raises:
        ConfigurationError: a text is neither an address nor a range in CIDR form.
    """
    if isinstance(texts, str):
        raise ConfigurationError(
            "allow_addresses must be a sequence of address ranges, such as ('198.18.0.0/15',)"
        )
    return tuple(_range(text) for text in texts)


def _range(text: object) -> Range:
    try:
        return ipaddress.ip_network(str(text).strip(), strict=False)
    except ValueError:
        raise ConfigurationError(
            f"allow_addresses contains {str(text)!r:.60}, which is not an address range: "
            "write it as 198.18.0.0/15 or fd00::/8"
        ) from None


def forbidden_address(ip: str, *, allow_loopback: bool, allowed: tuple[Range, ...] = ()) -> bool:
    """Return whether a download must not connect to this address.

    Accepts the address of a sockaddr including its scope id (``fe80::1%eth0``). Anything that is
    not an address is forbidden.

    Args:
        ip: an address, spelled as in a resolver's result or a URL.
        allow_loopback: allow loopback addresses, for a sandbox on this machine.
        allowed: private ranges that the caller's network uses.
    """
    address = _address(ip)
    if address is None:
        return True
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback:
        return not allow_loopback
    inner = () if isinstance(address, ipaddress.IPv4Address) else tuple(_embedded(address))
    if _is_unroutable(address) or any(map(_is_never_allowed, inner)):
        return True
    if _is_in(address, allowed):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not address.is_global or _is_in(address, _DENIED)
    if any(_forbids_embedded(one, allowed) for one in inner):
        return True
    if inner and not _is_isatap(address):
        return False
    return address not in _PUBLIC_V6 or not address.is_global or _is_in(address, _DENIED)


def range_to_allow(ip: str) -> str | None:
    """Return the range that the caller must allow to use this forbidden address.

    Returns ``None`` for addresses that no setting allows: this machine, the local link (where
    clouds serve credentials), and multicast groups.
    """
    address = _address(ip)
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped] if address.ipv4_mapped else list(_embedded(address))
        address = next((one for one in inner if _is_in(one, _PRIVATE)), address)
        if any(map(_is_never_allowed, inner)):
            return None
    if address is None or _is_never_allowed(address):
        return None
    return str(next((one for one in _PRIVATE if address in one), ipaddress.ip_network(address)))


def _address(ip: str) -> Address | None:
    try:
        return ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return None


def _is_in(address: Address, ranges: tuple[Range, ...]) -> bool:
    return any(address in one for one in ranges)


def _is_never_allowed(address: Address) -> bool:
    """Return whether no setting can allow this address."""
    return address.is_loopback or _is_unroutable(address)


def _is_unroutable(address: Address) -> bool:
    """Return whether the address is not one of a host on a routed network."""
    unroutable = address.is_unspecified or address.is_link_local or address.is_multicast
    return unroutable or address in _COMPATIBLE


def _forbids_embedded(address: ipaddress.IPv4Address, allowed: tuple[Range, ...]) -> bool:
    """Return whether an embedded address is forbidden; loopback always is."""
    return forbidden_address(str(address), allow_loopback=False, allowed=allowed)


def _is_isatap(address: ipaddress.IPv6Address) -> bool:
    return (int(address) >> 32) & _LOW in _ISATAP


def _embedded(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield every IPv4 address that this one may embed."""
    value = int(address)
    if address in _NAT64:
        yield ipaddress.IPv4Address(value & _LOW)
    elif address in _LOCAL_NAT64:
        yield from _embedded_in_local_nat64(value)
    elif address.sixtofour:
        yield address.sixtofour
    elif address.teredo:
        yield from address.teredo  # the relaying server and the client
    elif _is_isatap(address):
        yield ipaddress.IPv4Address(value & _LOW)


def _embedded_in_local_nat64(value: int) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 address for each prefix length that an operator may use.

    The actual length is unknown here, so the caller must check the address of every length.
    """
    packed = value.to_bytes(16, "big")
    found = (
        bytes(packed[offset] for offset in offsets)
        for offsets, end in _EMBEDDED
        if not any(packed[end:])
    )
    inner = [ipaddress.IPv4Address(one) for one in found if any(one)]
    yield from inner or (ipaddress.IPv4Address(0),)
