"""Validate ids, URLs and host names from the server before they are used.

This module does no I/O and resolves no names. A value from the server becomes a path, a host or a
line on a terminal only after one of these functions has accepted it.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from modelslab_async.errors import ConfigurationError

VOICE_FETCH: Final = "/api/v6/voice/fetch"
"""The path for polling jobs whose ticket does not state one."""

FAMILIES: Final = (
    VOICE_FETCH,
    "/api/v6/whisper/fetch",  # from the tickets of speech_to_text
    "/api/v7/voice/fetch",
    "/api/v1/enterprise/voice/fetch",
    "/api/v1/enterprise/voice-cloning/fetch",
    "/api/v1/enterprise/speech_to_text/fetch",
    "/api/v1/enterprise/text_to_speech/fetch",
    # Other APIs, for `RawRequest`. Job ids are unique only within one family.
    "/api/v6/images/fetch",
    "/api/v6/image_editing/fetch",
    "/api/v6/realtime/fetch",
    "/api/v6/video/fetch",
    "/api/v6/deepfake/fetch",
    "/api/v6/interior/fetch",
    "/api/v6/3d/fetch",
    "/api/v7/images/fetch",
    "/api/v7/video-fusion/fetch",
)
"""The paths for polling jobs; any other path in a ticket or a handle is ignored."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ROUTE: Final = re.compile(
    rf"(?P<family>{'|'.join(map(re.escape, FAMILIES))})/(?P<id>{_ID.pattern})"
)
_AUTHORITY: Final = re.compile(
    r"(?:(?P<name>[a-z0-9_.-]{1,253})|\[(?P<ip>[0-9a-f:.]{2,45})\])(?::(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,  # without ASCII, [a-z] matches the Kelvin sign
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_PORTS: Final = {"http": 80, "https": 443}
_MAX_URL: Final = 2048


# Ids


def job_id(value: object) -> str | None:
    """Return a job id as text, or ``None`` if the value cannot be one.

    The API sends ids as integers (ModelsLab docs, voice-cloning OpenAPI file) and as short words
    (quickstart page), so ``1`` and ``"1"`` are the same job. An id becomes part of the path of a
    request with the API key, so it must not contain characters that could change the path.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 < value < 2**63 else None
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    return None


def fetch_route(fetch_result: object, base_url: str) -> tuple[str, str] | None:
    """Return the family and id of a ``fetch_result``: ``("/api/v6/voice/fetch", "43730")``.

    Returns ``None`` unless it is a URL on the origin of ``base_url`` whose path is exactly a known
    family and an id, without user, query or fragment. Only the family and the id are used: the key
    is sent to the configured origin, never to a URL from a reply. If the id differs from the
    reply's ``id``, poll with this one (ModelsLab docs, create-dubbing page).
    """
    if not isinstance(fetch_result, str) or "?" in fetch_result or "#" in fetch_result:
        return None
    try:
        if origin(fetch_result) != origin(base_url):
            return None
    except ValueError:
        return None
    return family_and_id(urlsplit(fetch_result).path)


def family_and_id(path: str) -> tuple[str, str] | None:
    """Split the path for polling a job into family and id; return ``None`` for other paths."""
    match = _ROUTE.fullmatch(path)
    return (match["family"], match["id"]) if match else None


# URLs


def _is_plain(url: str) -> bool:
    """Return whether all parsers agree on a URL: short, printable, no backslash, stripped."""
    return 0 < len(url) <= _MAX_URL and url.isprintable() and "\\" not in url and url == url.strip()


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an absolute http or https URL; IPv6 without brackets.

    Raises:
        ValueError: it is not such a URL, parsers may disagree about it, it contains a user, or its
            host is a number in an unusual form.
    """
    if not _is_plain(url):
        raise ValueError("not a printable URL of sane length")
    parts = urlsplit(url)
    return origin_of(parts.scheme, parts.netloc)


@lru_cache(maxsize=64)  # the URLs of a thousand jobs have two or three hosts
def origin_of(scheme: str, authority: str) -> tuple[str, str, int]:
    """Return scheme, host and port from a URL's scheme and authority.

    Raises:
        ValueError: as `origin`.
    """
    match = _AUTHORITY.fullmatch(authority)
    if scheme not in _PORTS or match is None:
        raise ValueError("not an absolute http or https URL with a plain host")
    port = int(match["port"] or _PORTS[scheme])
    if not 0 < port < 2**16:
        raise ValueError("a port is a number from 1 to 65535")
    host = str(ipaddress.IPv6Address(match["ip"])) if match["ip"] else _named_host(match["name"])
    return scheme, host, port


def _named_host(name: str) -> str:
    labels = name.removesuffix(".").split(".")
    if "" in labels:
        raise ValueError("a host name has no empty label")
    if _NUMBER.fullmatch(labels[-1]):
        # Some resolvers read 127.1, 2130706433 and 0x7f000001 as addresses, others as names.
        return str(ipaddress.IPv4Address(name))
    return name.lower()


def is_loopback(host: str) -> bool:
    """Return whether a host, as returned by :func:`origin`, is this machine by its spelling."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback and not getattr(address, "ipv4_mapped", None)


def api_origin(base_url: str) -> str:
    """Return the origin that may receive the API key: ``https://host`` or ``https://host:port``.

    Raises:
        ConfigurationError: it is neither ``https://`` nor ``http://`` on loopback, or has a path,
            query or fragment. The message does not quote it, because it may contain a password.
    """
    advice = "write it as https://host or https://host:port"
    try:
        scheme, host, port = origin(base_url)
    except ValueError:
        raise ConfigurationError(f"base_url is not a plain URL of a host: {advice}") from None
    parts = urlsplit(base_url)
    if parts.path not in ("", "/") or "?" in base_url or "#" in base_url:
        raise ConfigurationError(f"base_url has a path, query or fragment: {advice} alone")
    if scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            "base_url would send the API key unencrypted: use https://, "
            "or http:// with localhost, 127.0.0.1 or [::1]"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port == _PORTS[scheme] else f":{port}")
