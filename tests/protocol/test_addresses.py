"""Which addresses a download may connect to (T05, T06): translated ones by what is inside."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async._protocol.addresses import address_ranges, forbidden_address, range_to_allow
from modelslab_async.errors import ConfigurationError

PUBLIC = "93.184.215.14"


def written_in(prefix: str, place: int, address: str) -> str:
    """An IPv6 address with these four bytes from this one on, around byte 8 (RFC 6052)."""
    packed = bytearray(ipaddress.IPv6Address(prefix).packed)
    for byte in ipaddress.IPv4Address(address).packed:
        place += place == 8
        packed[place] = byte
        place += 1
    return str(ipaddress.IPv6Address(bytes(packed)))


def teredo(server: str, client: str) -> str:
    inner = int(ipaddress.IPv4Address(client)) ^ 0xFFFF_FFFF
    value = (0x2001 << 112) | (int(ipaddress.IPv4Address(server)) << 64) | inner
    return str(ipaddress.IPv6Address(value))


TRANSLATED = {
    "mapped": lambda ip: f"::ffff:{ip}",
    "nat64": lambda ip: f"64:ff9b::{ip}",
    "local nat64, 48 bits": lambda ip: written_in("64:ff9b:1::", 6, ip),
    "local nat64, 56 bits": lambda ip: written_in("64:ff9b:1::", 7, ip),
    "local nat64, 64 bits": lambda ip: written_in("64:ff9b:1:7::", 9, ip),
    "local nat64, 96 bits": lambda ip: written_in("64:ff9b:1::", 12, ip),
    "local nat64, 96 bits of an operator": lambda ip: written_in("64:ff9b:1:abcd::", 12, ip),
    "6to4": lambda ip: written_in("2002::1", 2, ip),
    "teredo": lambda ip: teredo(PUBLIC, ip),
    "isatap": lambda ip: f"2606:4700::5efe:{ip}",
    "isatap of a global address": lambda ip: f"2606:4700::200:5efe:{ip}",
}


@pytest.mark.parametrize("form", TRANSLATED.values(), ids=TRANSLATED)
@pytest.mark.parametrize("inner", [PUBLIC, "1.1.1.1", "104.16.3.200"])
def test_t39_an_address_that_stands_for_a_public_one_may_be_connected_to(
    form: object, inner: str
) -> None:
    assert callable(form)
    assert not forbidden_address(form(inner), allow_loopback=False)


@pytest.mark.parametrize("form", TRANSLATED.values(), ids=TRANSLATED)
@pytest.mark.parametrize(
    "inner",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.1.1", "224.0.0.1"],
)
def test_t39_an_address_that_stands_for_a_private_one_may_not(form: object, inner: str) -> None:
    assert callable(form)
    assert forbidden_address(form(inner), allow_loopback=False)


def test_t39_a_public_client_behind_a_private_teredo_server_is_forbidden() -> None:
    assert forbidden_address(teredo("10.0.0.1", PUBLIC), allow_loopback=False)


@pytest.mark.parametrize("prefix", ["fd00::", "fe80::", "2001:db8::"])
def test_t39_a_private_isatap_address_is_not_public_for_what_is_inside(prefix: str) -> None:
    assert forbidden_address(f"{prefix}5efe:{PUBLIC}", allow_loopback=False)


@pytest.mark.parametrize(
    "ip", ["1.1.1.1", "104.16.0.1", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450:4001::1"]
)
def test_a_public_address_may_be_connected_to(ip: str) -> None:
    """T05."""
    assert not forbidden_address(ip, allow_loopback=False)


NEVER_BY_DEFAULT = """
    localhost 127.1 0177.0.0.1 1.1.1.1/32 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1
    100.127.255.255 127.0.0.1 127.255.255.254 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255
    192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1
    233.252.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::1%lo ::127.0.0.1 ::8.8.8.8
    ::ffff:0.0.0.0 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:224.0.0.1
    ::ffff:0:8.8.8.8 64:ff9b:: 64:ff9b::127.0.0.1 64:ff9b:1:: 64:ff9b:1::1 64:ff9b:2::8.8.8.8
    100::1 100:0:0:1::1 2001::1 2001:0:7f00:1:: 2001:db8::1 2002:7f00:1:: 3fff::1 4000::1 5f00::1
    fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1
"""


@pytest.mark.parametrize("ip", ["", *NEVER_BY_DEFAULT.split()])
def test_any_other_address_may_not_be_connected_to(ip: str) -> None:
    """T05, T06: asked about the sockaddr itself, so that rebinding a name gains nothing."""
    assert forbidden_address(ip, allow_loopback=False)


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "::1%lo", "::ffff:127.0.0.1"])
def test_a_loopback_address_may_be_connected_to_when_allowed(ip: str) -> None:
    """T05: for the sandbox."""
    assert not forbidden_address(ip, allow_loopback=True)


@pytest.mark.parametrize(
    "ip",
    [
        *("10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "0.0.0.0", "::", "224.0.0.1"),
        *("64:ff9b::127.0.0.1", "2002:7f00:1::"),
    ],
)
def test_allowing_loopback_addresses_allows_no_other(ip: str) -> None:
    """T05."""
    assert forbidden_address(ip, allow_loopback=True)


@given(st.ip_addresses())
def test_an_address_is_judged_whatever_it_is(ip: object) -> None:
    """T05: what the standard library does not call global is forbidden, or stands for another."""
    forbidden = forbidden_address(str(ip), allow_loopback=False)
    translated = getattr(ip, "ipv4_mapped", None) or str(ip).startswith(("64:ff9b:", "2002:"))
    assert forbidden or translated or getattr(ip, "is_global")  # noqa: B009 - of two types


# What the caller allows

ALLOWED = address_ranges(["198.18.0.0/15", "100.64.0.0/10", "fd00::/8", "10.1.2.3"])


@pytest.mark.parametrize(
    "ip",
    [
        *("198.18.0.27", "198.19.255.255", "100.64.0.1", "fd12::1", "10.1.2.3"),
        *("::ffff:198.18.0.27", "64:ff9b::198.18.0.27", "2002:c612:1b::1"),
    ],
)
def test_t40_an_address_of_an_allowed_range_may_be_connected_to(ip: str) -> None:
    assert not forbidden_address(ip, allow_loopback=False, allowed=ALLOWED)


@pytest.mark.parametrize("ip", ["10.1.2.4", "192.168.0.1", "198.20.0.1x", "fc00::1", "127.0.0.1"])
def test_t40_an_allowed_range_allows_no_other(ip: str) -> None:
    assert forbidden_address(ip, allow_loopback=False, allowed=ALLOWED)


EVERYTHING = address_ranges(["0.0.0.0/0", "::/0"])
NEVER = [
    *("127.0.0.1", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::169.254.169.254", "64:ff9b:1:7f00:0:100::", "2002:7f00:1::1", "2002:a9fe:a9fe::"),
    *("fd00::5efe:127.0.0.1", "fd00::200:5efe:169.254.169.254", teredo("127.0.0.1", PUBLIC)),
]


@pytest.mark.parametrize("ip", NEVER)
def test_t40_no_range_allows_this_machine_its_link_or_a_group(ip: str) -> None:
    assert forbidden_address(ip, allow_loopback=False, allowed=EVERYTHING)
    assert range_to_allow(ip) is None


@pytest.mark.parametrize(
    ("ip", "range_"),
    [
        ("198.18.0.27", "198.18.0.0/15"),
        ("100.100.1.1", "100.64.0.0/10"),
        ("10.3.2.1", "10.0.0.0/8"),
        ("172.20.0.1", "172.16.0.0/12"),
        ("192.168.178.1", "192.168.0.0/16"),
        ("fd7a:115c:a1e0::1", "fc00::/7"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:10.0.0.1", "10.0.0.0/8"),
        ("64:ff9b::198.18.0.27", "198.18.0.0/15"),
        ("2002:a00:1::", "10.0.0.0/8"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201/128"),
        ("64:ff9b::127.0.0.1", None),
        ("nonsense", None),
    ],
)
def test_t40_the_range_that_lets_an_address_pass_is_named(ip: str, range_: str | None) -> None:
    assert range_to_allow(ip) == range_
    if range_ is not None:
        allowed = address_ranges([range_])
        assert not forbidden_address(ip, allow_loopback=False, allowed=allowed)


@pytest.mark.parametrize(
    "ranges", ["198.18.0.0/15", ["198.18.0.0/33"], ["fake"], [""], [None], ["10.0.0.0-10.1.0.0"]]
)
def test_t40_what_is_no_range_is_refused(ranges: object) -> None:
    with pytest.raises(ConfigurationError, match="allow_addresses"):
        address_ranges(ranges)  # type: ignore[arg-type]
