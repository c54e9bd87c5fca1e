"""Choose the proxy for a request from the usual environment variables.

An unusable proxy is an error that names its variable. Bypassing it could let a request leave a
network that it must not leave.
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
        url: its origin, without credentials, safe to show.
        authorization: the value of ``Proxy-Authorization``; ``None`` if its URL names no user.
    """

    url: str
    authorization: str | None = field(default=None, repr=False)


def read_proxy(text: str, name: str) -> Proxy:
    """Parse the proxy URL of a setting; the default scheme is ``http://``.

    Args:
        text: the URL. Errors never repeat it, because it may contain a password.
        name: of the setting.

    Raises:
        ConfigurationError: it is a SOCKS proxy, or not the URL of a proxy.
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
    user, at, address = authority.rpartition("@")
    try:
        if path or not text.isprintable():
            raise ValueError("more than an origin")
        _, host, port = origin_of(scheme, address)
    except ValueError:
        raise ConfigurationError(
            f"{name} is not the URL of an HTTP proxy; nothing was sent: {_ADVICE}"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    return Proxy(f"{scheme}://{shown}:{port}", _basic(user) if at else None)


def _basic(user: str) -> str:
    """Return the basic authorization for a URL's user part, which may be percent-encoded."""
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


@frozen
class Proxies:
    """The proxies of an environment.

    Attributes:
        found: URL scheme -> (the proxy's text, the name of its variable).
        exceptions: the entries of ``NO_PROXY``.
    """

    found: Mapping[str, tuple[str, str]] = field(factory=dict, repr=False)
    exceptions: tuple[str, ...] = ()

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy for a URL; ``None``: connect directly, as always to this machine.

        Raises:
            ConfigurationError: the proxy cannot be used.
        """
        if scheme not in self.found or is_loopback(host):
            return None
        if any(_is_excepted(one, host.lower().rstrip("."), port) for one in self.exceptions):
            return None
        return read_proxy(*self.found[scheme])

    def check(self) -> None:
        """Check, before anything is paid for, that files can be downloaded from any host.

        Raises:
            ConfigurationError: the proxy for ``https://`` cannot be used.
        """
        if "https" in self.found and "*" not in self.exceptions:
            read_proxy(*self.found["https"])


def proxies_of(environment: Mapping[str, str]) -> Proxies:
    """Read the proxy variables of an environment, in lower or upper case.

    Lower case takes precedence, empty values are ignored, and ``ALL_PROXY`` is the fallback for
    both schemes. In a CGI process ``HTTP_PROXY`` is ignored: it is a header that the client sent
    (CVE-2016-5385).
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


def _is_excepted(pattern: str, host: str, port: int) -> bool:
    """Return whether a ``NO_PROXY`` entry (a domain or an address range) matches this host."""
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
