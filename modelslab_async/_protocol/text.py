"""Judge a text: a transcript or lyrics, as plain text or as JSON.

Plain text says nowhere how long it is, so that something else must vouch for its end; JSON says so
by its last bracket. A page, an error of the API and one of the storage are texts too, and never
what was asked for.
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
_PARSED = 1024 * 1024
_SHORT = 200
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_XML = re.compile(rb"<(?:\?xml|error>|[a-z]+ xmlns)", re.IGNORECASE)
_JSON = re.compile(rb"\{\s*[\"}]|\[\s*[\[{\"\]]")  # lyrics begin with [Verse] now and then
_CODE = re.compile(r"(?:error )?(?:code:? )?[1-5]\d\d\d?")
_PHRASES = frozenset(status.phrase.casefold() for status in HTTPStatus) | {"access denied"}
_BAD_WORDS = frozenset({"error", "failed", "processing", "queued"})
_MESSAGES = ("error", "errors", "message", "messege")
_CONTENTS = ("text", "transcription", "segments", "words", "lyrics")


def examine_text(read_at: ReadAt, size: int) -> Content | str:
    """What a text of ``size`` bytes is, or in words why it is none that could be asked for."""
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
        return _judge_json(read_at, size)
    return _short_error(head, size) or Content(".txt", Completeness.STREAMING)


def text_refusal(head: bytes) -> str | None:
    """Why what begins so is no text that could be asked for; ``None``: it may be one."""
    look = sniff(head)
    if look in ("empty", "zero bytes", "HTML page"):
        return str(look)
    if look == "XML" and _XML.match(head.removeprefix(codecs.BOM_UTF8).lstrip()):
        return "XML"
    if _CONTROL.search(head) or not _is_decoded(codecs.getincrementaldecoder("utf-8")(), head):
        return f"{look.name} sound" if isinstance(look, AudioFormat) else look
    return None


def read_text(data: bytes) -> object:
    """The value of JSON, or the text, of what `examine_text` has let pass."""
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


def _judge_json(read_at: ReadAt, size: int) -> Content | str:
    """Parsed up to a megabyte: more would hold up other threads, and the last bracket must do."""
    is_closed = read_at(max(0, size - HEAD), HEAD).rstrip().endswith((b"}", b"]"))
    if size > _PARSED:
        return Content(".json", Completeness.EXACT if is_closed else Completeness.SHORT)
    try:
        value = json.loads(read_at(0, size).decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Content(".txt", Completeness.STREAMING if is_closed else Completeness.SHORT)
    return "JSON of an error" if _is_error(value) else Content(".json", Completeness.EXACT)


def _is_error(value: object) -> bool:
    """Whether it is an answer of the API, or of what stands before it, in place of the text."""
    if not isinstance(value, dict) or any(name in value for name in _CONTENTS):
        return False
    return str(value.get("status")).casefold() in _BAD_WORDS or any(map(value.get, _MESSAGES))


def _short_error(head: bytes, size: int) -> str | None:
    """Storage that has nothing to give says so in a line."""
    line = head.decode("utf-8-sig", "replace").strip(" \t\r\n.!").casefold()
    if size <= _SHORT and (line in _PHRASES or _CODE.fullmatch(line)):
        return "an error in place of the text"
    return None
