"""Examine a text: a transcript or lyrics, as plain text or JSON.

Plain text does not state its length, so other evidence must show that it is complete. JSON is
complete if its last bracket is there. HTML pages and errors of the API or the storage are rejected.
"""

from __future__ import annotations

import codecs
import json
import re
from http import HTTPStatus

from .audio import HEAD, sniff
from .output import Content
from .sound import AudioFormat, Completeness, ReadAt

_BLOCK = 64 * 1024
_MAX_PARSED = 1024 * 1024
_MAX_ERROR = 200
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_XML = re.compile(rb"<(?:\?xml|error>|[a-z]+ xmlns)", re.IGNORECASE)
_JSON = re.compile(rb"\{\s*[\"}]|\[\s*[\[{\"\]]")  # lyrics may begin with [Verse]
_CODE = re.compile(r"(?:error )?(?:code:? )?[1-5]\d\d\d?")
_PHRASES = frozenset(status.phrase.casefold() for status in HTTPStatus) | {"access denied"}
_NOT_FINISHED = frozenset({"error", "failed", "processing", "queued"})
_ERROR_KEYS = ("error", "errors", "message", "messege")
_TEXT_KEYS = ("text", "transcription", "segments", "words", "lyrics")


def examine_text(read_at: ReadAt, size: int) -> Content | str:
    """Examine a text of ``size`` bytes; return the result, or why it is not an acceptable text."""
    head = read_at(0, min(size, HEAD))
    if reason := text_refusal(head):
        return reason
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, size, _BLOCK):
        block = read_at(at, _BLOCK)
        if _CONTROL.search(block) or not _is_decoded(decoder, block):
            return "text with binary data in it"
    if not _is_decoded(decoder, b"", final=True):
        return Content(".txt", Completeness.SHORT)
    if _is_json(head):
        return _examine_json(read_at, size)
    return _short_error(head, size) or Content(".txt", Completeness.STREAMING)


def text_refusal(head: bytes) -> str | None:
    """Return why a body with these first bytes is not an acceptable text, or ``None``."""
    look = sniff(head)
    if look in ("empty", "zero bytes", "HTML page"):
        return str(look)
    if look == "XML" and _XML.match(head.removeprefix(codecs.BOM_UTF8).lstrip()):
        return "XML"
    if _CONTROL.search(head) or not _is_decoded(codecs.getincrementaldecoder("utf-8")(), head):
        return f"{look.name} sound" if isinstance(look, AudioFormat) else look
    return None


def read_text(data: bytes) -> object:
    """Decode a text that `examine_text` accepted: return the JSON value or the text."""
    text = data.decode("utf-8-sig", "replace")
    if _is_json(data[:HEAD]):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _is_decoded(decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(data, final)
    except UnicodeDecodeError:
        return False
    return True


def _is_json(head: bytes) -> bool:
    return _JSON.match(head.removeprefix(codecs.BOM_UTF8).lstrip()) is not None


def _examine_json(read_at: ReadAt, size: int) -> Content | str:
    """Parse JSON of up to 1 MiB; of more, check only the last bracket, as parsing holds the GIL."""
    is_closed = read_at(max(0, size - HEAD), HEAD).rstrip().endswith((b"}", b"]"))
    if size > _MAX_PARSED:
        return Content(".json", Completeness.EXACT if is_closed else Completeness.SHORT)
    try:
        value = json.loads(read_at(0, size).decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Content(".txt", Completeness.STREAMING if is_closed else Completeness.SHORT)
    return "JSON of an error" if _is_error(value) else Content(".json", Completeness.EXACT)


def _is_error(value: object) -> bool:
    """Return whether the JSON is an error of the API or a gateway, instead of the text."""
    if not isinstance(value, dict) or any(name in value for name in _TEXT_KEYS):
        return False
    return str(value.get("status")).casefold() in _NOT_FINISHED or any(map(value.get, _ERROR_KEYS))


def _short_error(head: bytes, size: int) -> str | None:
    """Detect a one-line error message of the storage."""
    line = head.decode("utf-8-sig", "replace").strip(" \t\r\n.!").casefold()
    if size <= _MAX_ERROR and (line in _PHRASES or _CODE.fullmatch(line)):
        return "an error in place of the text"
    return None
