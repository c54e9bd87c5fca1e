"""Read single values off an answer: ids, links, seconds and sentences, in every spelling seen.

A value that cannot be used reads as absent; nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from .._text import safe_text
from .urls import job_id as trusted_id
from .wire_json import decode_json, finite
from .wording import PERIODS, Sentences, is_quoted, quotable, texts

Answer = Mapping[str, Any]

_MOST_LINKS = 1000

MAX_TRACK_ID = 2**53
"""Integers from here on do not survive a JSON reader that stores numbers as doubles."""

MAX_TRACK_ID_LENGTH = 191
"""Characters of one that is text; none is documented, and so many fit an indexed column."""

_MAXIMUM = re.compile(r"\bmaximum (?:of )?(\d{1,5}) ")
_COUNT = r"(\d{1,6}(?: \d{3})*)"
_COUNTED = r"(?:(?:api|queued|generation|allowed|are|requests?|reqs?|calls?|generations?|jobs?) )"
_RATE = re.compile(
    rf"\b(?:(?:maximum|max|limit)(?: of| is)? {_COUNT} {_COUNTED}*"
    rf"|{_COUNT} (?:{_COUNTED}+|(?=(?:per|each|every) )))"
    r"(?:per (?:account|user|ip|key|api key) )?"
    rf"(?:(?:per|each|every|an?|in|within) (?:(\d{{1,4}}) )?)?({PERIODS})\b"
)
_SHORT_RATE = re.compile(rf"\b{_COUNT} ?rp([smh])\b")
_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WAIT = re.compile(r"\b(?:wait|again|retry)(?: for| in| after)? (\d{1,5}) ?s(?:ec|\b)")
_NAMED = re.compile(
    rb'"(?:id|request_id|taskId)"\s*:\s*(?:(\d{1,19})(?=[\s,}\\])|"([A-Za-z0-9_-]{1,128})")'
)
_JOB_NAMES = frozenset({"id", "taskid", "jobid", "fetchid", "generationid"})
_ENVELOPES = ("data", "result", "meta", "job")
_LINKS = ("output", "links", "chunk_output", "proxy_links", "future_links", "fetch_result")
_OBJECT = re.compile(
    rb"\{(?:\s|\\{1,7}[nrt])*(\\{0,7}[\"']|&(?:quot|apos|#34|#0?39|#x22|#x27);)", re.IGNORECASE
)
"""Where an object begins, and how its names are quoted: in a text, in a page, or by Python."""

_IN_PAGE = re.compile(rb"<(?:pre|code|body)(?:\s[^<>]{0,200})?>\s*(?=\{)", re.IGNORECASE)
_PAGE = re.compile(rb"<(?:!doctype|html|head|body|script|meta|title)\b", re.IGNORECASE)
_NAMED_WITHIN = 64 * 1024
_MOST_NAMED = 16


def job_id(answer: Answer) -> str | None:
    """The id of the job, by any of its names."""
    ids = (trusted_id(answer.get(name)) for name in ("id", "request_id", "taskId"))
    return next((one for one in ids if one), None)


def traced_id(answer: Answer) -> str | None:
    """The id that an answer may mean by a name or in a place that no document knows: a hint."""
    ids = (trusted_id(one.strip() if isinstance(one, str) else one) for one in _traces(answer))
    return job_id(answer) or next((one for one in ids if one), None)


def has_traces(answer: Answer) -> bool:
    """Whether an answer holds what only a job has: an id of any kind, or links."""
    links = (link for name in _LINKS for link in urls(answer.get(name)))
    return any(_traces(answer)) or any(link.startswith(("http", "data:")) for link in links)


def _traces(answer: Answer) -> Iterator[object]:
    """Values of whatever may be the id of a job."""
    for place in (answer, *(answer.get(name) for name in _ENVELOPES)):
        for name, value in place.items() if isinstance(place, dict) else ():
            if value and name.replace("_", "").casefold() in _JOB_NAMES:
                yield value


def id_in_fragment(body: bytes, sent: Iterable[str] = ()) -> str | None:
    """The id that an object seems to name which is no readable JSON: a hint, never a proof.

    Scripts inside of pages number things too, and are no answer of the API; what a page shows as
    its text may be one. What stands in the texts that were ``sent`` is no id.
    """
    body = body[:_NAMED_WITHIN]
    start = _OBJECT.search(body)
    if start is not None and _PAGE.search(body, 0, start.start()):
        shown = _IN_PAGE.search(body)
        body = b"" if shown is None else body[shown.end() :].partition(b"<")[0]
        start = _OBJECT.match(body)
    if start is None:
        return None
    # A text inside of the object is quoted once more, and so its names are not taken for others.
    plain = body[start.start() :].replace(start[1], b"\0").replace(b'"', b"\1")
    own = quotable(sent)
    for one in islice(_NAMED.finditer(plain.replace(b"\0", b'"')), _MOST_NAMED):
        found = trusted_id(int(one[1]) if one[1] else one[2].decode())
        if found and not is_quoted(one[0].decode(), own):
            return found
    return None


def named_id(body: bytes, sent: Iterable[str] = ()) -> str | None:
    """The id that an answer names whose other words are of no use."""
    try:
        answer = decode_json(body)
    except ValueError:
        answer = None
    return job_id(answer) if isinstance(answer, dict) else id_in_fragment(body, sent)


def track_id(answer: Answer) -> str | None:
    """As text: the API takes integers and strings, and echoes either as it likes."""
    meta = answer.get("meta")
    places = [answer, meta if isinstance(meta, dict) else {}]
    for value in (place.get("track_id") for place in places):
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            text = int(value) if isinstance(value, float) else value
            return safe_text(text, MAX_TRACK_ID_LENGTH)
    return None


def number(value: object) -> float | None:
    """A number of seconds that is not negative, also where it came as text."""
    if isinstance(value, str):
        try:
            value = finite(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)


def urls(value: object) -> tuple[str, ...]:
    """Links in any of the shapes seen: a list, a bare string, objects with a ``url``.

    No more than 1,000: each becomes a file, and no job makes so many.
    """
    values = value[:_MOST_LINKS] if isinstance(value, list) else [value]
    found = (one.get("url") if isinstance(one, dict) else one for one in values)
    return tuple(_as_url(one.strip()) for one in found if isinstance(one, str) and one.strip())


def chunk(answer: Answer) -> tuple[str, ...]:
    """The file itself, as base64 text of WAV or as a ``data:`` link.

    ``stream`` of voice_to_voice asks for it (ModelsLab docs, voice-to-voice page). No sample is
    known, so several chunks, which may be parts of one file, are not taken for files.
    """
    found = urls(answer.get("chunk_output"))
    return found if len(found) == 1 and found[0].startswith("data:") else ()


def _as_url(text: str) -> str:
    # "UklGR" is how base64 text of a RIFF file begins: some answers carry the file itself.
    return f"data:audio/wav;base64,{text}" if text.startswith("UklGR") else text


def message(answer: Answer) -> str:
    """All that the server says in words, as one printable line."""
    names = ("message", "messege", "error", "errors", "tips", "tip")
    words = (word for name in names for word in texts(answer.get(name)))
    return safe_text("; ".join(dict.fromkeys(words)))


def wait(value: object, said: Sentences) -> float | None:
    """Seconds to wait, from ``retry_after`` or from the sentence of the spam filter."""
    seconds = number(value)
    if seconds is not None:
        return seconds
    found = next(filter(None, map(_WAIT.search, said)), None)
    return float(found[1]) if found else None


def maximum(said: Sentences) -> int | None:
    """How many requests are allowed at once, if a sentence names a number above 0.

    How many are allowed in a minute says nothing of how many may be in the queue.
    """
    depths = (_SHORT_RATE.sub("", _RATE.sub("", text)) for text in said)
    found = next(filter(None, map(_MAXIMUM.search, depths)), None)
    return int(found[1]) or None if found else None


def interval(said: Sentences) -> float | None:
    """Seconds from one request to the next at the slowest rate that a sentence names."""
    found = [
        (first or second, periods or "1", period)
        for text in said
        for first, second, periods, period in _RATE.findall(text)
    ]
    found += [(count, "1", period) for text in said for count, period in _SHORT_RATE.findall(text)]
    spaces = (
        int(periods) * _PERIODS[period[0]] / number
        for count, periods, period in found
        if (number := int(count.replace(" ", "")))
    )
    return max(spaces, default=0.0) or None
