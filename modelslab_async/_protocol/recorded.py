"""Redact exchanges so that they can go into a public bug report, and still tell what happened.

What is kept is listed, everything else is replaced: a text that no rule knows becomes a placeholder
such as ``{text-3}``, the same one for the same text. Numbers, job ids, statuses, field names and
the words of error messages are kept; in those words, what looks like a link, host, address, path or
token, and what was sent, is replaced too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from html import unescape
from typing import Any, Final
from unicodedata import category
from urllib.parse import unquote, urlsplit

from .._text import safe_text

FORMAT: Final = 1
"""Version of the recordings; the sandbox replays this one."""

MAX_BODY: Final = 64 * 1024
"""Bytes; a longer body is only measured."""

_MAX_TEXT = 2_000
_MAX_ESCAPED = 20_000
_MAX_DEPTH = 8
_MAX_ITEMS = 200
_HEADERS = re.compile(
    r"content-type|content-range|content-encoding|accept-ranges|retry-after|server|cf-cache-status"
    r"|x-ratelimit-[a-z]{1,20}|ratelimit-[a-z]{1,20}",
    re.IGNORECASE,
)
_HEADER_VALUE = re.compile(r"[\w .;,=/*+-]{1,80}", re.ASCII)
_PRESENT_ONLY = frozenset({"etag", "last-modified"})
"""Whether they are there decides if a download resumes; their values are hashes and dates."""

_NAME = re.compile(r"[A-Za-z_][\w-]{0,39}", re.ASCII)
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,10})?", re.ASCII)
_WORD = re.compile(r"[\w.+-]{1,20}", re.ASCII)
_SECRETS = re.compile(r"key|token|secret|password|authorization|signature", re.IGNORECASE)
_PERSONAL = re.compile(r"user|account|customer|phone|mail|address|zip|name", re.IGNORECASE)
_IDS = frozenset({"id", "request_id", "task_id"})
_TRACK_IDS = frozenset({"track_id", "trackid"})
_PLAIN = frozenset(
    {"status", "output_format", "bitrate", "base64", "temp", "currency", "language", "type"}
)
_MESSAGES = re.compile(r"mess[ae]ge|messege|errors?|tips?(_\d)?|reason|detail", re.IGNORECASE)
_MONEY = re.compile(r"balance|wallet|credit|amount|spent|cost", re.IGNORECASE)

_KNOWN_HOSTS = frozenset(
    {
        "pub-3626123a908346a7a8be8d9295f44e26.r2.dev",
        "pub-8b49af329fae499aa563997f5d4068a4.r2.dev",
        "modelslab-bom.s3.amazonaws.com",
    }
)
_OWN_DOMAINS = ("modelslab.com", "modelslab.ai", "stablediffusionapi.com")
_PROVIDERS = ("r2.dev", "amazonaws.com", "cloudfront.net", "r2.cloudflarestorage.com")
_FETCH = re.compile(r"/api/[\w/-]{1,60}/fetch/([\w-]{1,64})", re.ASCII)
_PATH = re.compile(r"(/api/[a-z0-9_/-]{1,80}?)(?:/fetch/([\w-]{1,64}))?", re.ASCII)
_ENDING = re.compile(r"\.([a-z0-9]{1,5})$", re.IGNORECASE | re.ASCII)

_LINK = re.compile(r"(?:https?|wss?|ftp|s3|file|data):\S+", re.IGNORECASE)
_TOKEN = re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{12,}\b", re.ASCII)
_SENT_SECRET = re.compile(
    r"((?:key|token|secret|password|passwd|sig|signature|user|account|mail)[\w-]{0,20}[\"']?"
    r" ?[=:] ?)[\"']?[^\s\"',;]+",
    re.IGNORECASE,
)
_IPV6 = re.compile(
    r"(?<![\w:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:%\w+)?(?![\w:])", re.IGNORECASE
)
_IN_TEXT = (
    (_LINK, "link"),
    (re.compile(r"\b(?:Bearer|Basic)\s+\S+", re.IGNORECASE), "token"),
    (re.compile(r"\beyJ[\w-]+(?:\.[\w-]*)*", re.ASCII), "token"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*", re.ASCII), "mail"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "address"),
    (
        re.compile(
            r"(?<![\w:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:%\w+)?(?![\w:])", re.IGNORECASE
        ),
        "address",
    ),
    (re.compile(r"(?<![\w{<])(?:~|[A-Za-z]:)?(?:[/\\][\w.@+ -]*[\w.@+-])+"), "path"),
    (re.compile(r"(?<![<{/])\b[\w.~-]+(?:[/\\][\w.@+-]+){2,}"), "path"),
    (re.compile(r"\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,24}\b", re.IGNORECASE), "host"),
    (_TOKEN, "token"),
    (re.compile(r"\b[A-Za-z_-]{32,}\b"), "token"),
    (re.compile(r"\b\d{16,}\b"), "number"),
)
_GRAM = 8
"""Characters; a run of this length that was sent, too, is a quotation."""

_MAX_GRAMS = 500_000
_MAX_SHORT = 1_000
_MAX_QUOTED = 20_000


class Redactor:
    """Redacts the exchanges of one recording; the same text gets the same placeholder.

    Args:
        origin: of the API, ``https://host``.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin.rstrip("/").lower()
        self._names: dict[tuple[str, bytes], str] = {}
        self._counts: dict[str, int] = {}
        self._links: dict[str, dict[str, str]] = {}
        self._sent: dict[str, None] = {}
        self._short: dict[str, None] = {}

    def target(self, path: str) -> str:
        """The path of an API request without its query."""
        path = path.partition("?")[0]
        found = _PATH.fullmatch(path)
        return path if found else self._named("path", path)

    def link(self, url: str) -> str:
        """The placeholder of a link; `links` tells its host and ending."""
        name = self._named("link", url)
        if name[1:-1] not in self._links:
            self._links[name[1:-1]] = self._described(url)
        return name

    def links(self, text: str) -> dict[str, dict[str, str]]:
        """What is known of the links whose placeholders are in a text."""
        return {name: about for name, about in self._links.items() if f"{{{name}}}" in text}

    def sent(self, fields: Any) -> Any:
        """The fields of a request; the texts among them are looked for in what is received."""
        for text in _texts(fields):
            folded = _folded(_plain(text, _MAX_QUOTED))
            for at in range(len(folded) - _GRAM + 1):
                self._sent[folded[at : at + _GRAM]] = None
        while len(self._sent) > _MAX_GRAMS:
            del self._sent[next(iter(self._sent))]
        while len(self._short) > _MAX_SHORT:
            del self._short[next(iter(self._short))]
        return self._value(fields, "", "sent")

    def received(self, body: bytes, *, about_money: bool = False) -> dict[str, Any]:
        """A response's body, as ``body``, ``text`` or only ``omitted`` with its size."""
        if len(body) > MAX_BODY:
            return {"omitted": len(body)}
        text = body.decode("utf-8", "replace")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return {"text": self.text(text)}
        if about_money:
            document = _without_amounts(document)
        return {"body": self._value(document, "", "received")}

    def headers(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """The headers that matter."""
        kept = {}
        for name, value in headers:
            lower = name.lower()
            if lower in _PRESENT_ONLY:
                kept[lower] = "present"
            elif lower == "location":
                kept[lower] = self.link(value)
            elif _HEADERS.fullmatch(name):
                scrubbed = self.text(value)
                kept[lower] = scrubbed if _HEADER_VALUE.fullmatch(value) else "?"
        return kept

    def text(self, text: str) -> str:
        """Words of the server, without what they may tell of the account or the request."""
        # Escapes would hide what is looked for; the client reads these words as words anyway.
        text = self._without_sent(_plain(unescape(unquote(text[:_MAX_ESCAPED]))))
        text = _SENT_SECRET.sub(r"\1***", text)
        for pattern, kind in _IN_TEXT:
            text = pattern.sub(partial(self._in_text, kind), text)
        return text

    def _in_text(self, kind: str, match: re.Match[str]) -> str:
        found = match[0]
        if kind == "link":
            return self._url(found)
        if kind == "host" and _shown_host(found.lower()) == found.lower():
            return found
        if kind == "path" and _PATH.fullmatch(found):
            return found
        return self._named(kind, found)

    def _without_sent(self, text: str) -> str:
        """Replace each run of the text that is also in what was sent."""
        folded = _folded(text)
        if len(folded) != len(text):  # some letters fold to two
            text = folded
        quoted = bytearray(len(text))
        for at in range(len(text) - _GRAM + 1):
            if folded[at : at + _GRAM] in self._sent:
                quoted[at : at + _GRAM] = b"\1" * _GRAM
        for word in re.finditer(r"[^\W_]+", folded):
            if word[0] in self._short:
                quoted[word.start() : word.end()] = b"\1" * len(word[0])
        pieces, last = [], 0
        for run in re.finditer(rb"\x01+", bytes(quoted)):
            pieces += [text[last : run.start()], "{sent}"]
            last = run.end()
        return "".join([*pieces, text[last:]])

    def _value(self, value: Any, name: str, way: str, depth: int = 0) -> Any:
        folded = name.lower()
        if value is None or isinstance(value, bool):
            return value
        if folded in _TRACK_IDS and isinstance(value, int | str):
            return self._track(value)
        if _PERSONAL.search(folded) and not isinstance(value, dict | list):
            return "***"
        if isinstance(value, int | float):
            return value
        if _SECRETS.search(folded):
            return "***"
        if depth > _MAX_DEPTH:
            return "{nested}"
        if isinstance(value, list):
            return [self._value(one, name, way, depth + 1) for one in value[:_MAX_ITEMS]]
        if isinstance(value, dict):
            # The names below an error are those of fields, and its texts are the server's words.
            under = name if _MESSAGES.fullmatch(name) else ""
            return {
                self._field(key, way): self._value(one, under or str(key), way, depth + 1)
                for key, one in list(value.items())[:_MAX_ITEMS]
            }
        return self._string(str(value), folded, way)

    def _string(self, value: str, name: str, way: str) -> str:
        if value == "" or value in ("yes", "no", "true", "false") or _NUMBER.fullmatch(value):
            return value
        if name in _IDS and _ID.fullmatch(value):
            return value
        if name in _PLAIN and _WORD.fullmatch(value):
            return value
        if way == "received" and _MESSAGES.fullmatch(name):
            return self.text(value)
        if way == "sent" and 1 < len(value) < _GRAM:
            self._short[_folded(value)] = None
        return self._url(value) if _LINK.fullmatch(value) else self._named("text", value)

    def _url(self, url: str) -> str:
        """A link; one to ask about a job keeps its path, since the client reads it."""
        try:
            parts = urlsplit(url)
            origin = f"{parts.scheme}://{parts.netloc}".lower()
        except ValueError:
            return self.link(url)
        if not _FETCH.fullmatch(parts.path) or parts.query or parts.fragment:
            return self.link(url)
        return f"{{{'api' if origin == self._origin else 'foreign'}}}{parts.path}"

    def _track(self, value: int | str) -> str:
        name = self._named("track", str(value))
        return f"{name[:-1]}:int}}" if isinstance(value, int) else name

    def _field(self, name: str, way: str) -> str:
        # Field names that we send are our own; some of the API's have spaces in them.
        plain = name.replace(" ", "_") if way == "sent" else name
        known = _NAME.fullmatch(plain) and not _TOKEN.search(plain)
        if way == "received":
            known = known and self._without_sent(plain) == plain
        return name if known else self._named("field", name)

    def _named(self, kind: str, text: str) -> str:
        known = (kind, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        if known not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[known] = f"{{{kind}-{self._counts[kind]}}}"
        return self._names[known]

    def _described(self, url: str) -> dict[str, str]:
        try:
            parts = urlsplit(url)
            host, path = parts.hostname or "", parts.path
        except ValueError:
            host, path = "", ""
        if url[:5].lower() == "data:":
            return {"host": "inline"}
        ending = _ENDING.search(path)
        shown = _shown_host(host.lower()) or self._named("host", host)
        return {"host": shown, **({"ending": ending[1].lower()} if ending else {})}


def _shown_host(host: str) -> str:
    """A host as it may be shown; empty for one that may be somebody's own."""
    if host in ("127.0.0.1", "localhost", "::1"):
        return "this machine"
    if host in _KNOWN_HOSTS or _is_below(host, _OWN_DOMAINS):
        return host
    provider = next((one for one in _PROVIDERS if _is_below(host, (one,))), "")
    return f"*.{provider}" if provider else ""


def _is_below(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == one or host.endswith(f".{one}") for one in domains)


def _texts(value: Any, depth: int = _MAX_DEPTH) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list) and depth:
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one, depth - 1)


def _folded(text: str) -> str:
    return text.casefold()


def _plain(text: str, limit: int = _MAX_TEXT) -> str:
    """One printable line, without marks that cannot be seen and with single spaces."""
    seen = "".join(one for one in text[: 2 * limit] if category(one) != "Cf")
    return safe_text(" ".join(seen.split()), limit)


def _without_amounts(document: Any) -> Any:
    """What is left in a wallet is nobody's business; that it is a number is."""
    if isinstance(document, dict):
        return {name: _without_amounts(one) for name, one in document.items()}
    if isinstance(document, list):
        return [_without_amounts(one) for one in document]
    is_number = isinstance(document, int | float) and not isinstance(document, bool)
    if is_number or (isinstance(document, str) and _NUMBER.fullmatch(document)):
        return type(document)(1)
    return document
