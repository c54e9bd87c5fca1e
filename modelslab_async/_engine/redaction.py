"""Redact secrets from responses, however the server spells them.

A server may quote a secret truncated, in another case, or escaped for JSON, HTML or a URL, in any
combination. Everything is removed that would be a secret after decoding.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

PIECE = 12
"""So many consecutive characters of a secret count as a leak."""

_SHORTEST = 8  # a shorter form would match in any text by chance, and is no secret anyway
_GRAM = 6
_DEPTH = 4  # escapes within escapes
_MARK = b"***"
_MAX_TOKENS = 10_000
_WINDOW, _OVERLAP = 256 * 1024, 4 * 1024  # an overlap holds a piece, however often escaped
_MAX_FOUND = 1_000  # no honest response repeats a secret so often; searching on would take seconds
_ESCAPE = re.compile(
    rb"\\u00([0-9a-f]{2})|\\x([0-9a-f]{2})|%u00([0-9a-f]{2})|%([0-9a-f]{2})"
    rb"|&\#x0*([0-9a-f]{1,2});?|&\#0*([0-9]{1,3});?|&(amp|lt|gt|quot|apos);"
    rb"|\\([^a-z0-9])",
    re.IGNORECASE | re.DOTALL,
)
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_DECIMAL, _NAME, _PLAIN = 6, 7, 8  # groups of the pattern; all others are hexadecimal
_RUN = re.compile(rb"[a-z0-9_-]{12,}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{12,}")

Span: TypeAlias = tuple[int, int]


class Finder(Protocol):
    """Finds secrets in lower-case text."""

    def may_be_in(self, text: bytes) -> bool:
        """Quick check: return False only if there are no `spans`."""

    def spans(self, text: bytes) -> Iterator[Span]:
        """Yield where the secrets are."""


def without(data: bytes, finder: Finder) -> bytes:
    """Return the bytes without the secrets in them, escaped or not.

    There is nearly always none, so a fast check comes first and the slow search only after a hit.
    Text that is full of secrets is replaced as a whole.
    """
    if not _may_hold(data, finder):
        return data
    found = _found(data, finder)
    return _cut(data, found) if len(found) <= _MAX_FOUND else _MARK


def _may_hold(text: bytes, finder: Finder) -> bool:
    """Check in windows: unescaping a million escapes at once takes a hundred times their size."""
    starts = range(0, max(1, len(text)), _WINDOW)
    return any(_window_may_hold(text[at : at + _WINDOW + _OVERLAP], finder) for at in starts)


def _window_may_hold(text: bytes, finder: Finder) -> bool:
    for _ in range(_DEPTH):
        if finder.may_be_in(text.lower()):
            return True
        decoded = text.replace(b"\\/", b"/")
        if any(mark in decoded for mark in (b"\\", b"%", b"&")):
            decoded = _ESCAPE.sub(_character, decoded)
        if decoded == text:
            break
        text = decoded
    return False


def _found(text: bytes, finder: Finder) -> list[Span]:
    found: list[Span] = []
    steps: list[_Unescaped] = []
    for _ in range(_DEPTH):
        for start, end in finder.spans(text.lower()):
            for step in reversed(steps):
                start, end = step.original(start), step.original(end)
            found.append((start, end))
            if len(found) > _MAX_FOUND:
                return found
        steps.append(_Unescaped(text))
        if steps[-1].text == text:
            break
        text = steps[-1].text
    return found


class _Unescaped:
    """A text unescaped once, with the original position of each of its bytes."""

    def __init__(self, text: bytes) -> None:
        decoded = bytearray()
        self._new, self._old = array("q", [0]), array("q", [0])  # there may be a million
        last = 0
        for escape in _ESCAPE.finditer(text):
            decoded += text[last : escape.start()]
            decoded += _character(escape)
            last = escape.end()
            self._new.append(len(decoded))
            self._old.append(last)
        self.text = bytes(decoded + text[last:])

    def original(self, position: int) -> int:
        """Return the position in the original text."""
        step = bisect_right(self._new, position) - 1
        return self._old[step] + position - self._new[step]


def _character(escape: re.Match[bytes]) -> bytes:
    group = escape.lastindex or 0
    value = escape[group]
    if group == _NAME:
        return _NAMED[value.lower()]
    if group == _PLAIN:
        return value
    code = int(value, 10 if group == _DECIMAL else 16)
    return bytes([code]) if code < 256 else escape[0]


def _cut(data: bytes, spans: list[Span]) -> bytes:
    kept: list[bytes] = []
    last = 0
    for start, end in sorted(spans):
        if start >= last:
            kept += (data[last:start], _MARK)
        last = max(last, end)
    return b"".join((*kept, data[last:]))


class Forms:
    """The forms of one secret that unescaping does not reveal: reversed, base64 and so on.

    Args:
        forms: each with the number of consecutive bytes that leaks `PIECE` characters.
    """

    def __init__(self, forms: Iterable[tuple[bytes, int]]) -> None:
        self._blocks: list[tuple[bytes, int, bytes, int]] = []
        self._grams: set[bytes] = set()
        self._step = PIECE - _GRAM + 1
        for form, least in dict(forms).items():
            if len(form) >= _SHORTEST:
                self._add(form.lower(), min(least, len(form)))

    def _add(self, form: bytes, least: int) -> None:
        """Split a form into blocks, so that every leaking piece contains a whole block."""
        self._grams.update(form[at : at + _GRAM] for at in range(len(form) - _GRAM + 1))
        self._step = min(self._step, least - _GRAM + 1)
        size = (least + 1) // 2
        for start in range(0, len(form) - size + 1, size):
            self._blocks.append((form, start, form[start : start + size], least))

    def may_be_in(self, text: bytes) -> bool:
        """Return whether samples of the text, dense enough to hit every piece, match any form."""
        samples = (text[at : at + _GRAM] for at in range(0, len(text), self._step))
        return not self._grams.isdisjoint(samples)

    def spans(self, text: bytes) -> Iterator[Span]:
        """Yield where pieces of any form are, each in full length."""
        for form, place, block, least in self._blocks:
            at = text.find(block)
            while at >= 0:
                start, end = _extended(text, at, form, place, len(block))
                if end - start >= least:
                    yield start, end
                    at = text.find(block, end)
                else:
                    at = text.find(block, at + 1)


def _extended(text: bytes, at: int, form: bytes, place: int, size: int) -> Span:
    """Extend a common block in both directions as far as the text matches the form."""
    before = 0
    while before < min(at, place) and text[at - before - 1] == form[place - before - 1]:
        before += 1
    after = size
    most = min(len(text) - at, len(form) - place)
    while after < most and text[at + after] == form[place + after]:
        after += 1
    return at - before, at + after


def _looks_secret(word: str) -> bool:
    """Return whether a word mixes letters and digits, or upper and lower case."""
    has_digits = any(map(str.isdigit, word))
    has_letters = any(map(str.isalpha, word))
    return has_letters and (has_digits or not (word.islower() or word.isupper()))


class Tokens:
    """The secret parts of webhook URLs, which servers repeat in their replies."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def __repr__(self) -> str:
        return f"<{len(self._known)} tokens>"

    def add(self, url: object, track_id: object = "") -> None:
        """Remember the parts of a URL's path and query that look secret, except the track id."""
        if not isinstance(url, str):
            return
        parts = urlsplit(url)
        for found in _TOKEN.finditer(f"{parts.path}?{parts.query}"):
            token = found[0]
            if _looks_secret(token) and token not in str(track_id):
                self._known[token[:PIECE].lower().encode()] = token.lower().encode()
        while len(self._known) > _MAX_TOKENS:
            del self._known[next(iter(self._known))]

    def redact(self, data: bytes) -> bytes:
        """Return the bytes without those tokens or their prefixes of `PIECE` or more characters."""
        return without(data, self) if self._known else data

    def may_be_in(self, text: bytes) -> bool:
        """Return whether a token is in the text."""
        return any(True for _ in self.spans(text))

    def spans(self, text: bytes) -> Iterator[Span]:
        """Yield where tokens, or long enough prefixes of them, are."""
        for run in _RUN.finditer(text):
            for at in range(run.start(), run.end() - PIECE + 1):
                token = self._known.get(text[at : at + PIECE])
                if token is not None:
                    yield _extended(text, at, token, 0, PIECE)
