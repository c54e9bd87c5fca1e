"""Say what an HTTP answer is before anything sends it. Nothing here waits or opens a socket.

A handler makes an `Answer`; the server sends it as it is, or a fault spoils it on the way out.
"""

from __future__ import annotations

import http
import json
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from ._php import php_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen
class Answer:
    """One answer: status, body and headers, with no `Content-Length` (the sender adds it)."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]

    def with_headers(self, headers: Mapping[str, str] | None) -> Answer:
        """Return the answer with these headers over its own."""
        if not headers:
            return self
        named = {name.lower() for name in headers}
        kept = {name: text for name, text in self.headers.items() if name.lower() not in named}
        return evolve(self, headers={**kept, **headers})


def dump(document: object, *, style: str = "php") -> bytes:
    r"""Return JSON as PHP writes it (`\/`, `\uXXXX`), or as everybody else does."""
    if style != "php":
        return json.dumps(document, separators=(",", ":")).encode()
    text = json.dumps(php_numbers(document), separators=(",", ":"))
    return text.replace("/", "\\/").encode()


def json_answer(document: Mapping[str, Any], *, status: int = 200, style: str = "php") -> Answer:
    return Answer(status, dump(document, style=style), {"Content-Type": "application/json"})


def text_answer(text: str, *, status: int, content_type: str = "text/plain") -> Answer:
    return Answer(status, text.encode(), {"Content-Type": f"{content_type}; charset=utf-8"})


def reason(status: int) -> str:
    """Return the words after the code, also for the codes that only an edge proxy knows."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
