"""Decide which proxy a request goes through, by the variables that other tools go by as well.

A proxy that cannot be used is refused by the name of its variable: a request that went around it
might leave a network that it must not leave.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from attrs import field, frozen

from .._protocol.urls import is_loopback, origin_of
from ..errors import ConfigurationError

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SOCKS: Final = frozenset({"socks", "socks4", "socks4a", "socks5", "socks5h"})
_ADVICE: Final = "write it as http://host:port, or as http://user:password@host:port"
_WITH_PORT: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]{1,5}))?")
_SEPARATOR: Final = re.compile(r"[\s,]+")


@frozen
class Proxy:
    """An HTTP proxy.

    Attributes:
        url: its origin, as it may be shown.
        authorization: the value of ``Proxy-Authorization``, if its URL named a user.
    """

    url: str
    authorization: str | None = field(default=None, repr=False)


def read_proxy(text: str, name: str) -> Proxy:
    """The proxy that a setting names; without a scheme it is ``http://``.

    Args:
        text: a URL. It is never repeated, for it may hold a password.
        name: of the setting.

    Raises:
        ConfigurationError: a SOCKS proxy, or no URL of a proxy.
    """
    text = text.strip()
    named = _SCHEME.match(text)
    scheme = named[1].lower() if named else "http"
    rest = text[named.end() :] if named else text.removeprefix("//")
    if scheme in _SOCKS:
        raise ConfigurationError(
            f"{name} is a SOCKS proxy ({scheme}://), which is not supported; nothing was sent: "
            "name an HTTP proxy, or unset it"
        )
    authority, _, path = rest.partition("/")
    user, at, place = authority.rpartition("@")
    try:
        if path or not text.isprintable():
            raise ValueError("more than an origin")
        _, host, port = origin_of(scheme, place)
    except ValueError:
        raise ConfigurationError(
            f"{name} is no URL of an HTTP proxy; nothing was sent: {_ADVICE}"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    return Proxy(f"{scheme}://{shown}:{port}", _basic(user) if at else None)


def _basic(user: str) -> str:
    """What stands before the ``@`` of a URL, percent-encoded as it may be, for HTTP."""
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


@frozen
class Proxies:
    """The proxies of an environment.

    Attributes:
        found: the text of a proxy and the name of its variable, by the scheme of the URLs.
        exceptions: the parts of ``NO_PROXY``.
    """

    found: Mapping[str, tuple[str, str]] = field(factory=dict, repr=False)
    exceptions: tuple[str, ...] = ()

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for a URL; ``None``: connect directly. This machine is always direct.

        Raises:
            ConfigurationError: that proxy cannot be used.
        """
        if scheme not in self.found or is_loopback(host):
            return None
        if any(_excepts(one, host.lower().rstrip("."), port) for one in self.exceptions):
            return None
        return read_proxy(*self.found[scheme])

    def check(self) -> None:
        """See that files can be downloaded, from whichever host, before anything is paid for.

        Raises:
            ConfigurationError: the proxy for ``https://`` cannot be used.
        """
        if "https" in self.found and "*" not in self.exceptions:
            read_proxy(*self.found["https"])


def proxies_of(environment: Mapping[str, str]) -> Proxies:
    """The proxies that the variables of an environment name, in either case.

    A variable in small letters counts before one in capitals, an empty one does not count, and
    ``ALL_PROXY`` is for what has none of its own. Where a web server has started us,
    ``HTTP_PROXY`` is a header of the client's (CVE-2016-5385).
    """
    found = {}
    for scheme in ("http", "https"):
        names = [f"{scheme}_proxy", f"{scheme}_PROXY".upper(), "all_proxy", "ALL_PROXY"]
        if "REQUEST_METHOD" in environment and scheme == "http":
            names.remove("HTTP_PROXY")
        name = next((name for name in names if environment.get(name, "").strip()), None)
        if name is not None:
            found[scheme] = (environment[name], name)
    exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return Proxies(found, tuple(one for one in _SEPARATOR.split(exceptions.lower()) if one))


def _excepts(pattern: str, host: str, port: int) -> bool:
    """Whether a part of ``NO_PROXY`` is about this host: a name and all below it, or addresses."""
    if pattern == "*":
        return True
    found = _WITH_PORT.fullmatch(pattern)
    name, wanted = (found["host"], found["port"]) if found else (pattern, None)
    if wanted and int(wanted) != port:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name.strip("[]"), strict=False)
    except ValueError:  # one of them is a name
        suffix = name.removeprefix("*").strip(".")
    return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))
