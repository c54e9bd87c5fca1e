"""Turn a text that a reply contains inline into a ``data:`` link.

Transcripts were observed as text, as an object with ``text``, and as a list of objects with
``text`` and ``words``; v7 puts them in ``meta.transcription``. Converting them to ``data:`` links
means that later code handles only links.
"""

from __future__ import annotations

import base64
import json
import re

from attrs import evolve

from .replies import Finished, Reply

_LINK = re.compile(r"https?://|data:[^,\s]*;base64,", re.IGNORECASE)


def with_inline_text(reply: Reply) -> Reply:
    """Return the reply of a text job with inline text converted to a ``data:`` link."""
    if not isinstance(reply, Finished):
        return reply
    text = _inline(reply.raw.get("output"))
    meta = reply.raw.get("meta")
    if text is None and not reply.links.output and isinstance(meta, dict):
        text = _inline(meta.get("transcription"))
    if text is None:
        return reply
    return evolve(reply, links=evolve(reply.links, output=(text,)))


def _inline(value: object) -> str | None:
    """Return a ``data:`` link for an inline text; ``None`` for links and empty values.

    An object with only ``text`` becomes plain text; any other object or list becomes JSON.
    """
    if isinstance(value, list) and len(value) == 1:
        return _inline(value[0])
    if isinstance(value, dict) and value.keys() == {"text"}:
        return _inline(value["text"])
    if isinstance(value, str):
        text = value.strip()
        return None if not text or _LINK.match(text) else _data_link("text/plain", value)
    if not value or not isinstance(value, list | dict) or _has_links(value):
        return None
    return _data_link("application/json", json.dumps(value, ensure_ascii=False))


def _has_links(value: list[object] | dict[str, object]) -> bool:
    """Return whether a value contains links, as strings or in objects."""
    first = value[0] if isinstance(value, list) else value
    if isinstance(first, dict):
        return "url" in first
    return isinstance(first, str) and _LINK.match(first.strip()) is not None


def _data_link(kind: str, text: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode('ascii')}"
