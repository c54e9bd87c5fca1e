"""Decide which requests the page's server answers. Pure.

The server is for one person on this machine. Other web sites that this person visits can send
requests to it, under its own name or, by rebinding, under theirs; other users of the machine can
connect to it. The first are recognised by their headers, the second do not know the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final

MAX_BODY: Final = 16 * 1024
_NAMES: Final = ("127.0.0.1", "localhost")
_JSON: Final = "application/json"


def refusal(
    *, method: str, token: str, given: str, port: int, headers: Mapping[str, str], is_page: bool
) -> int | None:
    """The HTTP status that refuses a request; ``None``: it is answered.

    Args:
        method: of the request.
        token: what only the person's own browser knows.
        given: the token in the request's path.
        port: of the server.
        headers: of the request, with names in any case.
        is_page: it asks for the page itself, which a notebook may show in a frame.
    """
    hosts = [f"{name}:{port}" for name in _NAMES]
    if headers.get("Host", "") not in hosts:
        return 403
    if headers.get("Origin") not in (None, *(f"http://{host}" for host in hosts)):
        return 403
    if not is_page and headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return 403
    if not hmac.compare_digest(given.encode(errors="replace"), token.encode()):
        return 404
    if method == "POST":
        # No other site can send this type without asking first, and that is refused.
        if headers.get("Content-Type", "").partition(";")[0].strip().lower() != _JSON:
            return 415
        length = headers.get("Content-Length", "")
        if not length.isdecimal():
            return 411
        if len(length) > 9 or int(length) > MAX_BODY:
            return 413
    return None


def byte_range(header: str | None, size: int) -> range | None:
    """The bytes that a ``Range`` header asks for, none where there are no such bytes.

    ``None``: it asks for no range, or for one that is not supported; the answer is all bytes.
    Source: RFC 9110, section 14.
    """
    unit, _, asked = (header or "").partition("=")
    first, dash, last = asked.strip().partition("-")
    parts = [part for part in (first, last) if part]
    if unit.strip().lower() != "bytes" or not dash or not parts:
        return None
    if not all(part.isdecimal() and part.isascii() and len(part) < 19 for part in parts):
        return None
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)
