"""Read a text that an answer carries itself, in place of a link to it.

Transcripts have been seen as text, as an object with ``text``, and as a list of objects with
``text`` and ``words``; those of v7 are in ``meta.transcription``. Each becomes a ``data:`` link,
so that all that comes after knows links alone.
"""

from __future__ import annotations

import base64
import json
import re

from attrs import evolve

from .replies import Finished, Reply

_LINK = re.compile(r"https?://|data:[^,\s]*;base64,", re.IGNORECASE)


def with_inline_text(reply: Reply) -> Reply:
    """The answer of a job that was asked for a text: what is no link there is the text itself."""
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
    """A ``data:`` link for a value that is, or holds, a text; ``None`` for links and for nothing.

    An object with nothing but its text is that text. All others stay the JSON that they are.
    """
    if isinstance(value, list) and len(value) == 1:
        return _inline(value[0])
    if isinstance(value, dict) and value.keys() == {"text"}:
        return _inline(value["text"])
    if isinstance(value, str):
        text = value.strip()
        return None if not text or _LINK.match(text) else _data("text/plain", value)
    if not value or not isinstance(value, list | dict) or _names_links(value):
        return None
    return _data("application/json", json.dumps(value, ensure_ascii=False))


def _names_links(value: list[object] | dict[str, object]) -> bool:
    """Whether it lists links, bare ones or in objects."""
    first = value[0] if isinstance(value, list) else value
    if isinstance(first, dict):
        return "url" in first
    return isinstance(first, str) and _LINK.match(first.strip()) is not None


def _data(kind: str, text: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode('ascii')}"
