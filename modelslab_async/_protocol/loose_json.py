"""Find the JSON in a reply with other text around it, or in an encoding other than UTF-8.

The reply to a paid submit cannot be requested again. These additions do not change its meaning, and
are removed: PHP warnings, byte order marks, guards against script inclusion, padding, and a JSON
string around the object. An object within any other text is not trusted, because it may be quoted
from a prompt.
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
"""Bytes; in a longer body, `object_in_noise` finds nothing."""

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITHOUT_MARK: Final = ((b"{\0", "utf-16-le"), (b"\0{", "utf-16-be"))
for _, _encoding in (*_MARKS, *_WITHOUT_MARK):
    codecs.lookup(_encoding)  # load the codec now: its file may be gone when a paid reply needs it
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
"""What surrounds the object in a list of one, and in a call (JSONP)."""

_MAX_LAYERS: Final = 3
_IDS: Final = re.compile(r'"(?:id|request_id)"\s*:\s*"?([A-Za-z0-9_-]{1,128})')


def plain_json(body: bytes) -> bytes:
    """Return the body in UTF-8, without byte order marks, padding and guards."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            body = body.decode(encoding, "replace").encode("utf-8", "replace")
            break
    for start, encoding in _WITHOUT_MARK:
        if body.startswith(start):
            body = body.decode(encoding, "replace").encode("utf-8", "replace")
    body = body.strip(_PADDING)
    while body.startswith(codecs.BOM_UTF8):  # each included PHP file may add one
        body = body.removeprefix(codecs.BOM_UTF8).lstrip(_PADDING)
    guard = _GUARD.match(body)
    if guard is not None:
        body = body[guard.end() :]
    if body.startswith(b"{") and not _is_utf8(body):
        body = body.decode("latin-1").encode()  # wrong characters occur only in texts
    return body


def unwrapped(body: bytes, sent: Iterable[str] = ()) -> bytes:
    """Return the content of a body that is a JSON string, such as ``"{\\"id\\": 1}"``.

    Nested strings are unwrapped as well.

    Args:
        body: a result of `plain_json`.
        sent: texts of the request. A string quoted from them is not unwrapped.
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
    """Return whether a body is an unchanged text of the request, or a part of one."""
    text = body.decode("utf-8", "replace")
    return any(text in own for own in sent)


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_object(body: bytes) -> bool:
    """Return whether a body is a complete JSON object, even if its transfer was cut off later."""
    try:
        return isinstance(decode_json(plain_json(body)), dict)
    except ValueError:
        return False


def object_in_noise(body: bytes, sent: Iterable[str] = ()) -> dict[str, Any] | None:
    """Return the JSON object between known additions; ``None`` if the rest is anything else.

    Args:
        body: a result of `plain_json` that is a list or not JSON.
        sent: texts of the request. An object quoted from them does not count.
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


def _is_noise(before: str, after: str, found: dict[str, Any]) -> bool:
    """Return whether the text around an object is a known addition, without another id."""
    for opening, closing in _OPENINGS:
        if opening.fullmatch(before):
            return closing.fullmatch(after) is not None
    return _is_diagnostics(before) and set(_IDS.findall(after)) <= {str(found.get("id"))}


def _is_diagnostics(text: str) -> bool:
    """Return whether a text consists only of PHP diagnostics."""
    return len(text) <= _MAX_DIAGNOSTICS and not _DIAGNOSTIC.sub("", text).strip()
