"""Find the JSON in an answer that has something around it, or is not in UTF-8.

An answer to a paid submit cannot be requested again. Warnings that PHP prints, marks of text
editors, guards against script inclusion and padding do not change what it says, nor does a JSON
text that holds the answer. Whatever else stands around an object is no reason to believe the
object: it may be quoted from a prompt.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from .wire_json import decode_json
from .wording import is_quoted, quotable

MAX_NOISE: Final = 256 * 1024
"""Bytes; in a longer body no object is looked for among other things."""

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITHOUT_MARK: Final = ((b"{\0", "utf-16-le"), (b"\0{", "utf-16-be"))
for _, _encoding in (*_MARKS, *_WITHOUT_MARK):
    codecs.lookup(_encoding)  # they are files, too, that may be gone when an answer is paid for
_PADDING: Final = b" \t\r\n\0\x0b\x0c"
_GUARD: Final = re.compile(
    rb"(?:\)\]\}'?,?|while\s*\(1\);?|for\s*\(;;\);?|&&&START&&&)\s*(?=[{\[\x22])"
)
_DIAGNOSTIC: Final = re.compile(
    r"(?:<b>)?(?:PHP )?(?:Warning|Notice|Deprecated|Strict Standards)(?:</b>)?:"
    r"[^{}]{1,1000}? on line (?:<b>)?\d+(?:</b>)?|<br ?/?>"
)
_MAX_DIAGNOSTICS: Final = 8 * 1024
_OPENINGS: Final = (
    (re.compile(r"\[\s*"), re.compile(r"\s*\]")),
    (re.compile(r"(?:/\*\*/\s*)?[A-Za-z_$][\w$.]{0,100}\(\s*"), re.compile(r"\s*\);?")),
)
"""What surrounds the one object of a list, or that of a call (JSONP)."""

_MAX_LAYERS: Final = 3
_IDS: Final = re.compile(r'"(?:id|request_id)"\s*:\s*"?([A-Za-z0-9_-]{1,128})')


def plain_json(body: bytes) -> bytes:
    """The body in UTF-8, without marks, padding and guards; unchanged if it has none of them."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            body = body.decode(encoding, "replace").encode("utf-8", "replace")
            break
    for start, encoding in _WITHOUT_MARK:
        if body.startswith(start):
            body = body.decode(encoding, "replace").encode("utf-8", "replace")
    body = body.strip(_PADDING)
    while body.startswith(codecs.BOM_UTF8):  # one for each file that wrote one
        body = body.removeprefix(codecs.BOM_UTF8).lstrip(_PADDING)
    guard = _GUARD.match(body)
    if guard is not None:
        body = body[guard.end() :]
    if body.startswith(b"{") and not _is_utf8(body):
        body = body.decode("latin-1").encode()  # of which only the texts are affected
    return body


def unwrapped(body: bytes, sent: Iterable[str] = ()) -> bytes:
    """What a body says that is a JSON text, such as ``"{\\"id\\": 1}"``, also a text in a text.

    Args:
        body: from `plain_json`.
        sent: texts of the request: if the text is one of them, or a part, it stays one.
    """
    for _ in range(_MAX_LAYERS):
        if not body.startswith(b'"'):
            break
        try:
            text = decode_json(body)
        except ValueError:
            break
        if not isinstance(text, str) or "{" not in text or is_quoted(text, quotable(sent)):
            break
        body = plain_json(text.encode())
    return body


def is_echo(body: bytes, sent: Iterable[str]) -> bool:
    """Whether an object is a text of the request, or a part of one, given back as it was sent."""
    text = body.decode("utf-8", "replace")
    return any(text in own for own in sent)


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_object(body: bytes) -> bool:
    """Whether this is one whole JSON object, so that whatever broke off behind it is not missed."""
    try:
        return isinstance(decode_json(plain_json(body)), dict)
    except ValueError:
        return False


def object_in_noise(body: bytes, sent: Iterable[str] = ()) -> dict[str, Any] | None:
    """The object of an answer that a program added something to; ``None`` if that is in doubt.

    Args:
        body: from `plain_json`, and not JSON as it is, or a list.
        sent: texts of the request: an object that stands in one of them is none.
    """
    if len(body) > MAX_NOISE:
        return None
    text = body.decode("utf-8", "replace")
    start = text.find("{")
    if start < 0:
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
        found = decode_json(text[start:end].encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or is_quoted(text[start:end], quotable(sent)):
        return None
    return found if _is_noise(text[:start], text[end:], found) else None


def _is_noise(before: str, behind: str, found: dict[str, Any]) -> bool:
    """Whether what surrounds an object takes nothing from it."""
    for opening, closing in _OPENINGS:
        if opening.fullmatch(before):
            return closing.fullmatch(behind) is not None
    return _is_diagnostics(before) and set(_IDS.findall(behind)) <= {str(found.get("id"))}


def _is_diagnostics(text: str) -> bool:
    """Whether this is nothing but what PHP prints of its own before a page."""
    return len(text) <= _MAX_DIAGNOSTICS and not _DIAGNOSTIC.sub("", text).strip()
