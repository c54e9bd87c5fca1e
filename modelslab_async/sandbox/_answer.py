"""HTTP responses as values. No I/O.

A handler creates an `Answer`; the server sends it unchanged, or a fault corrupts it.
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
    """One response: status, body and headers without `Content-Length`, which the sender adds."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]

    def with_headers(self, headers: Mapping[str, str] | None) -> Answer:
        """Return the response with these headers, which replace its own of the same name."""
        if not headers:
            return self
        named = {name.lower() for name in headers}
        kept = {name: text for name, text in self.headers.items() if name.lower() not in named}
        return evolve(self, headers={**kept, **headers})


def dump(document: object, *, style: str = "php") -> bytes:
    r"""Return JSON as PHP writes it (`\/`, `\uXXXX`), or as plain JSON."""
    if style != "php":
        return json.dumps(document, separators=(",", ":")).encode()
    text = json.dumps(php_numbers(document), separators=(",", ":"))
    return text.replace("/", "\\/").encode()


def json_answer(document: Mapping[str, Any], *, status: int = 200, style: str = "php") -> Answer:
    return Answer(status, dump(document, style=style), {"Content-Type": "application/json"})


def text_answer(text: str, *, status: int, content_type: str = "text/plain") -> Answer:
    return Answer(status, text.encode(), {"Content-Type": f"{content_type}; charset=utf-8"})


def reason(status: int) -> str:
    """Return the reason phrase of a status; ``Unknown`` for codes of edge proxies."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
