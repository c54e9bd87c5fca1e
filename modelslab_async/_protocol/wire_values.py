"""Extract single values from a reply: ids, links, seconds and limits, in every observed spelling.

An unusable value counts as absent; nothing here raises.
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

_MAX_LINKS = 1000

MAX_TRACK_ID = 2**53
"""Integers from here on may lose precision in JSON parsers that store numbers as doubles."""

MAX_TRACK_ID_LENGTH = 191
"""Maximum number of characters of a text track id.

No limit is documented; this many fit an indexed database column.
"""

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
"""The start of an object and its quotation mark: JSON, JSON in a string or in HTML, or Python."""

_IN_PAGE = re.compile(rb"<(?:pre|code|body)(?:\s[^<>]{0,200})?>\s*(?=\{)", re.IGNORECASE)
_PAGE = re.compile(rb"<(?:!doctype|html|head|body|script|meta|title)\b", re.IGNORECASE)
_NAMED_WITHIN = 64 * 1024
_MAX_NAMED = 16


def job_id(answer: Answer) -> str | None:
    """Return the id of the job, under any of its known names."""
    ids = (_as_id(answer.get(name)) for name in ("id", "request_id", "taskId"))
    return next((one for one in ids if one), None)


def _as_id(value: object) -> str | None:
    """Return an id in either documented form, also a number stored as a float, or padded."""
    if isinstance(value, float) and value.is_integer() and value < MAX_TRACK_ID:
        value = int(value)
    if isinstance(value, str) and value.strip().isdigit():
        value = value.strip()
    return trusted_id(value)


def traced_id(answer: Answer) -> str | None:
    """Return the id from undocumented names or places as well: a hint, not proof."""
    ids = map(_as_id, _possible_ids(answer))
    return job_id(answer) or next((one for one in ids if one), None)


def has_traces(answer: Answer) -> bool:
    """Return whether a reply contains what only a job has: an id of any kind, or links."""
    links = (link for name in _LINKS for link in urls(answer.get(name)))
    return any(_possible_ids(answer)) or any(link.startswith(("http", "data:")) for link in links)


def _possible_ids(answer: Answer) -> Iterator[object]:
    """Yield all values that may be the id of a job."""
    for place in (answer, *(answer.get(name) for name in _ENVELOPES)):
        for name, value in place.items() if isinstance(place, dict) else ():
            if value and name.replace("_", "").casefold() in _JOB_NAMES:
                yield value


def id_in_fragment(body: bytes, sent: Iterable[str] = ()) -> str | None:
    """Return the id in a damaged or embedded JSON object: a hint, not proof.

    In an HTML page, only visible text counts: scripts contain unrelated ids. An id quoted from the
    texts in ``sent`` does not count.
    """
    body = body[:_NAMED_WITHIN]
    start = _OBJECT.search(body)
    if start is not None and _PAGE.search(body, 0, start.start()):
        shown = _IN_PAGE.search(body)
        body = b"" if shown is None else body[shown.end() :].partition(b"<")[0]
        start = _OBJECT.match(body)
    if start is None:
        return None
    # Text values inside the object are escaped once more, so names in them do not match.
    plain = body[start.start() :].replace(start[1], b"\0").replace(b'"', b"\1")
    own = quotable(sent)
    for one in islice(_NAMED.finditer(plain.replace(b"\0", b'"')), _MAX_NAMED):
        found = trusted_id(int(one[1]) if one[1] else one[2].decode())
        if found and not is_quoted(one[0].decode(), own):
            return found
    return None


def named_id(body: bytes, sent: Iterable[str] = ()) -> str | None:
    """Return the id of a reply of which nothing else is used."""
    try:
        answer = decode_json(body)
    except ValueError:
        answer = None
    return job_id(answer) if isinstance(answer, dict) else id_in_fragment(body, sent)


def track_id(answer: Answer) -> str | None:
    """Return the track id as text: the API accepts and echoes both integers and strings."""
    meta = answer.get("meta")
    places = [answer, meta if isinstance(meta, dict) else {}]
    for value in (place.get("track_id") for place in places):
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            text = int(value) if isinstance(value, float) else value
            return safe_text(text, MAX_TRACK_ID_LENGTH)
    return None


def number(value: object) -> float | None:
    """Return a non-negative number of seconds, from a number or from text."""
    if isinstance(value, str):
        try:
            value = finite(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)


def urls(value: object) -> tuple[str, ...]:
    """Return the links from any observed shape: a list, a string, objects with a ``url``.

    At most 1,000, because each becomes a file, and no job creates that many.
    """
    values = value[:_MAX_LINKS] if isinstance(value, list) else [value]
    found = (one.get("url") if isinstance(one, dict) else one for one in values)
    return tuple(_as_url(one.strip()) for one in found if isinstance(one, str) and one.strip())


def chunk(answer: Answer) -> tuple[str, ...]:
    """Return the file in ``chunk_output`` as a ``data:`` link.

    The parameter ``stream`` of voice_to_voice requests it (ModelsLab docs, voice-to-voice page). No
    sample is documented. Several chunks are ignored, since they may be parts of one file.
    """
    found = urls(answer.get("chunk_output"))
    return found if len(found) == 1 and found[0].startswith("data:") else ()


def _as_url(text: str) -> str:
    # "UklGR" is "RIFF" in base64: some replies contain the file itself.
    return f"data:audio/wav;base64,{text}" if text.startswith("UklGR") else text


def message(answer: Answer) -> str:
    """Return all messages of a reply as one printable line."""
    names = ("message", "messege", "error", "errors", "tips", "tip")
    words = (word for name in names for word in texts(answer.get(name)))
    return safe_text("; ".join(dict.fromkeys(words)))


def retry_after(value: object, sentences: Sentences) -> float | None:
    """Return the seconds to wait, from the field ``retry_after`` or from a sentence."""
    seconds = number(value)
    if seconds is not None:
        return seconds
    found = next(filter(None, map(_WAIT.search, sentences)), None)
    return float(found[1]) if found else None


def max_queued(sentences: Sentences) -> int | None:
    """Return the maximum number of queued requests, if a sentence states one above 0.

    Rates, such as requests per minute, are ignored: they are not limits of the queue.
    """
    without_rates = (_SHORT_RATE.sub("", _RATE.sub("", text)) for text in sentences)
    found = next(filter(None, map(_MAXIMUM.search, without_rates)), None)
    return int(found[1]) or None if found else None


def request_interval(sentences: Sentences) -> float | None:
    """Return the seconds between two requests at the slowest rate that a sentence states."""
    found = [
        (first or second, periods or "1", period)
        for text in sentences
        for first, second, periods, period in _RATE.findall(text)
    ]
    found += [
        (count, "1", period) for text in sentences for count, period in _SHORT_RATE.findall(text)
    ]
    intervals = (
        int(periods) * _PERIODS[period[0]] / number
        for count, periods, period in found
        if (number := int(count.replace(" ", "")))
    )
    return max(intervals, default=0.0) or None
