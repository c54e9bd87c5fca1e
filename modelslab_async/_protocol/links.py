"""Read a download link as it is spelled, and say in words why one may not be used.

A link is often signed over its exact spelling, so that nothing is decoded, encoded again or put in
order: spaces and what is not ASCII are encoded, because no request line can hold them, and the rest
goes on the wire as it came.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import quote

from attrs import frozen

from .._text import safe_text
from .addresses import Range, forbidden_address, range_to_allow
from .urls import is_loopback, origin_of

MAX_LINK: Final = 8192
"""Signed links of object stores have up to 2 KiB, those of some CDNs four times as much."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NOT_SPELLED: Final = re.compile(r"[^\x21-\x7e]+")


class LinkRefused(ValueError):
    """A link that may not be used. Its text is ours, and says why.

    Attributes:
        can_be_allowed: the caller's setting can let it pass.
    """

    def __init__(self, reason: str, *, can_be_allowed: bool = False) -> None:
        super().__init__(reason)
        self.can_be_allowed = can_be_allowed


@frozen
class Link:
    """Where a file may be downloaded from.

    Attributes:
        scheme: ``https``, or ``http`` on loopback.
        host: as a resolver takes it; an IPv6 address without brackets.
        port: the one given, or that of the scheme.
        authority: host and port as they are spelled, in ASCII.
        target: path and query as they go on the wire.
    """

    scheme: str
    host: str
    port: int
    authority: str
    target: str


def read_link(url: object, *, allow_loopback: bool, allowed: tuple[Range, ...] = ()) -> Link:
    """The link, if a file may be downloaded from it without any key.

    It must be https (http only on an allowed loopback host) and name no user; a host given as an
    address must be a public one, or of an ``allowed`` range. What a host *name* leads to is not
    known here: the socket has to ask `forbidden_address`.

    Raises:
        LinkRefused: it may not be used.
    """
    if not isinstance(url, str):
        raise LinkRefused("the link is no text")
    scheme, authority, target = _split(url.strip(" \t\r\n"))
    if scheme not in ("https", "http") or not authority:
        raise LinkRefused("the link is no https:// URL")
    if "@" in authority:
        raise LinkRefused("the link names a user or password")
    authority = _ascii_host(authority)
    try:
        _, host, port = origin_of(scheme, authority)
    except ValueError as error:
        raise LinkRefused(f"the host or port of the link is odd: {error}") from None
    target = _spelled(target)
    if len(scheme) + len(authority) + len(target) > MAX_LINK:
        raise LinkRefused(f"the link is too long: over {MAX_LINK} bytes")
    _check_host(scheme, host, allow_loopback=allow_loopback, allowed=allowed)
    return Link(scheme, host, port, authority, target if target[:1] == "/" else f"/{target}")


def _split(url: str) -> tuple[str, str, str]:
    """Scheme, authority, and what goes on the wire: path and query, without the fragment."""
    if len(url) > MAX_LINK:
        raise LinkRefused(f"the link is too long: over {MAX_LINK} bytes")
    if _CONTROL.search(url):
        raise LinkRefused("the link holds a control character")
    rest, scheme, authority = url.partition("#")[0], "", ""
    if named := _SCHEME.match(rest):
        scheme, rest = named[1].lower(), rest[named.end() :]
    if rest.startswith("//"):
        end = min(rest.find(mark, 2) % (len(rest) + 1) for mark in "/?")
        authority, rest = rest[2:end], rest[end:]
    return scheme, authority, rest


def _spelled(text: str) -> str:
    """The text with spaces and non-ASCII characters encoded, and nothing else touched."""
    try:
        return _NOT_SPELLED.sub(lambda found: quote(found[0], errors="surrogateescape"), text)
    except UnicodeEncodeError:
        raise LinkRefused("the link holds half a character") from None


def _ascii_host(authority: str) -> str:
    """The authority with its host as the name system takes it (IDNA 2008, after UTS 46)."""
    if authority.isascii():
        return authority
    import idna  # few links need it

    name, colon, port = authority.partition(":")
    try:
        return f"{idna.encode(name, uts46=True).decode()}{colon}{port}"
    except UnicodeError:  # what idna raises, too
        raise LinkRefused("the host of the link is no valid name") from None


def _check_host(
    scheme: str, host: str, *, allow_loopback: bool, allowed: tuple[Range, ...]
) -> None:
    if is_loopback(host):
        if not allow_loopback:
            raise LinkRefused(f"the link leads to this machine: {host}")
        return
    if scheme != "https":
        raise LinkRefused("the link is http:// and not https://: others could change the file")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if forbidden_address(host, allow_loopback=False, allowed=allowed):
        raise address_refused(host, host)


def address_refused(host: str, address: str) -> LinkRefused:
    """The refusal of an address that a host leads to: which, and which setting lets it pass."""
    shown, host = safe_text(address, 60), safe_text(host, 253)
    leads = f"{host} leads to {shown}" if shown != host else f"the link leads to {shown}"
    missing = range_to_allow(address)
    if missing is None:
        return LinkRefused(
            f"{leads}, an address of this machine or its local link, which may not be connected to"
        )
    return LinkRefused(
        f"{leads}, which is no public address and may not be connected to; if your network uses "
        f"such addresses (a VPN or tunnel, a carrier, a company), allow {missing} by "
        "Network(allow_addresses=[...]), --allow-addresses, or allow_addresses in config.toml",
        can_be_allowed=True,
    )


def redirected(url: str, location: str) -> str:
    """Where a redirect leads, as `read_link` takes it (RFC 3986, section 5.2).

    Raises:
        LinkRefused: nowhere, or away from https.
    """
    location = location.strip(" \t\r\n")
    if not location:
        raise LinkRefused("a redirect to nowhere")
    scheme, authority, target = _split(url.strip(" \t\r\n"))
    new_scheme, new_authority, new_target = _split(location)
    if new_scheme and not location[len(new_scheme) + 1 :].startswith("//"):
        raise LinkRefused("a redirect to what is no https:// URL")
    if scheme == "https" and (new_scheme or scheme) != "https":
        raise LinkRefused("a redirect away from https://")
    if location.startswith("//") or new_scheme:
        return f"{new_scheme or scheme}://{new_authority}{_without_dots(new_target)}"
    return f"{scheme}://{authority}{_without_dots(_joined(target, new_target))}"


def _joined(target: str, reference: str) -> str:
    """A path and query, seen from another one."""
    path = target.partition("?")[0]
    if not reference:
        return target
    if reference.startswith("?"):
        return path + reference
    if reference.startswith("/"):
        return reference
    return path[: path.rfind("/") + 1] + reference if "/" in path else f"/{reference}"


def _without_dots(target: str) -> str:
    """The path without ``.`` and ``..`` (RFC 3986, section 5.2.4), the query as it is."""
    path, mark, query = target.partition("?")
    if "/." not in path:
        return target
    kept: list[str] = []
    parts = path.split("/")[1:]
    for place, part in enumerate(parts):
        is_last = place == len(parts) - 1
        if part == "..":
            del kept[-1:]
        if part not in (".", ".."):
            kept.append(part)
        elif is_last:
            kept.append("")
    return f"/{'/'.join(kept)}{mark}{query}"
