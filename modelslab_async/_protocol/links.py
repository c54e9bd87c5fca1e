"""Parse download links without changing their spelling; refuse those that must not be used.

A signature often covers the exact spelling of a link, so nothing is decoded, re-encoded or
reordered. Only spaces and non-ASCII characters are encoded, because a request line cannot contain
them.
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
"""Maximum length in bytes: signed links of object stores have up to 2 KiB, of some CDNs 8 KiB."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_TO_ENCODE: Final = re.compile(r"[^\x21-\x7e]+")


class LinkRefused(ValueError):
    """A link must not be used; the message says why.

    Attributes:
        can_be_allowed: whether a setting of the caller can allow it.
    """

    def __init__(self, reason: str, *, can_be_allowed: bool = False) -> None:
        super().__init__(reason)
        self.can_be_allowed = can_be_allowed


@frozen
class Link:
    """A link that may be used for a download.

    Attributes:
        scheme: ``https``, or ``http`` on loopback.
        host: as passed to a resolver; an IPv6 address has no brackets.
        port: from the link, or the scheme's default.
        authority: host and port in their original spelling, in ASCII.
        target: path and query for the request line.
    """

    scheme: str
    host: str
    port: int
    authority: str
    target: str


def read_link(url: object, *, allow_loopback: bool, allowed: tuple[Range, ...] = ()) -> Link:
    """Parse a link and check that it may be used for a download without a key.

    It must be https (http only on an allowed loopback host) and must not contain a user. A host
    given as an address must be public or in an ``allowed`` range. A host *name* is not resolved
    here: the code that connects must check its addresses with `forbidden_address`.

    Raises:
        LinkRefused: it must not be used.
    """
    if not isinstance(url, str):
        raise LinkRefused("the link is not text")
    scheme, authority, target = _split(url.strip(" \t\r\n"))
    if scheme not in ("https", "http") or not authority:
        raise LinkRefused("the link is no https:// URL")
    if "@" in authority:
        raise LinkRefused("the link names a user or password")
    authority = _ascii_host(authority)
    try:
        _, host, port = origin_of(scheme, authority)
    except ValueError as error:
        raise LinkRefused(f"the link has an invalid host or port: {error}") from None
    target = _percent_encoded(target)
    if len(scheme) + len(authority) + len(target) > MAX_LINK:
        raise LinkRefused(f"the link is too long: over {MAX_LINK} bytes")
    _check_host(scheme, host, allow_loopback=allow_loopback, allowed=allowed)
    return Link(scheme, host, port, authority, target if target[:1] == "/" else f"/{target}")


def _split(url: str) -> tuple[str, str, str]:
    """Split a URL into scheme, authority, and path with query; drop the fragment."""
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


def _percent_encoded(text: str) -> str:
    """Percent-encode spaces and non-ASCII characters, and nothing else."""
    try:
        return _TO_ENCODE.sub(lambda found: quote(found[0], errors="surrogateescape"), text)
    except UnicodeEncodeError:
        raise LinkRefused("the link contains a lone surrogate") from None


def _ascii_host(authority: str) -> str:
    """Return the authority with its host in ASCII for DNS (IDNA 2008, after UTS 46)."""
    if authority.isascii():
        return authority
    import idna  # imported here because few links need it

    name, colon, port = authority.partition(":")
    try:
        return f"{idna.encode(name, uts46=True).decode()}{colon}{port}"
    except UnicodeError:  # idna.IDNAError is a subclass
        raise LinkRefused("the link has an invalid host name") from None


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
    """Return the error for a host with a forbidden address; it names the setting that allows it."""
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
    """Resolve the ``Location`` of a redirect into a URL for `read_link` (RFC 3986, section 5.2).

    Raises:
        LinkRefused: the location is empty, not an http or https URL, or leads away from https.
    """
    location = location.strip(" \t\r\n")
    if not location:
        raise LinkRefused("a redirect without a location")
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
    """Resolve a relative reference against a path and query."""
    path = target.partition("?")[0]
    if not reference:
        return target
    if reference.startswith("?"):
        return path + reference
    if reference.startswith("/"):
        return reference
    return path[: path.rfind("/") + 1] + reference if "/" in path else f"/{reference}"


def _without_dots(target: str) -> str:
    """Remove ``.`` and ``..`` from the path (RFC 3986, section 5.2.4); keep the query."""
    path, mark, query = target.partition("?")
    if "/." not in path:
        return target
    kept: list[str] = []
    parts = path.split("/")[1:]
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        if part == "..":
            del kept[-1:]
        if part not in (".", ".."):
            kept.append(part)
        elif is_last:
            kept.append("")
    return f"/{'/'.join(kept)}{mark}{query}"
