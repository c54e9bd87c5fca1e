"""Read an answer: bytes in, one of six values out. Every wire quirk lives here, once.

The reader is total: any bytes give a value, never an exception. It knows nothing of what was asked;
what an answer means for a submit or for a poll is decided in `policy`.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, TypeAlias

from attrs import Factory, field, frozen

from .trust import job_id as trusted_id
from .trust import safe_text

MAX_DEPTH = 64
_MAX_DIGITS = 19  # 2**63 has 19; a longer integer is nothing this API counts


class Refusal(enum.Enum):
    """Why a request was turned away, whatever the wording and the HTTP status."""

    CREDITS = "credits"
    KEY = "key"
    PLAN = "plan"
    RATE = "rate"
    REQUEST = "request"
    SERVER = "server"


class Failure(enum.Enum):
    """What the API says of a job that it does not give us."""

    FAILED = "failed"
    TRY_AGAIN = "try again"
    NOT_FOUND = "not found"


@frozen
class RemoteFile:
    """One file that a job made, and everywhere it may lie.

    Attributes:
        urls: links in the order to try: ``output``, then ``proxy_links``, then ``future_links``.
        job_id: the job that made it.
        index: its place among the files of that job, from 0.
    """

    urls: tuple[str, ...] = field(repr=lambda urls: f"<{len(urls)} links>")
    job_id: str = ""
    index: int = 0


@frozen
class Links:
    """Links of one answer, by the field they came in."""

    output: tuple[str, ...] = ()
    proxy: tuple[str, ...] = ()
    future: tuple[str, ...] = ()

    def merged(self, older: Links) -> Links:
        """These links, and where a field is empty, what an older answer said."""
        return Links(
            self.output or older.output, self.proxy or older.proxy, self.future or older.future
        )

    def files(self, job_id: str) -> tuple[RemoteFile, ...]:
        """One file for each output; where there is none, for each link that may lead to one."""
        count = len(self.output) or max(len(self.proxy), len(self.future))
        rows = list(zip_longest(self.output, self.proxy, self.future))[:count]
        return tuple(
            RemoteFile(tuple(dict.fromkeys(url for url in row if url)), job_id, index)
            for index, row in enumerate(rows)
        )


@frozen(kw_only=True)
class _Answer:
    """What any readable answer may carry beside its meaning."""

    id: str | None = None
    track_id: str | None = None
    fetch_result: str | None = field(default=None, repr=False)
    raw: dict[str, Any] = field(default=Factory(dict), repr=False, eq=False)


@frozen(kw_only=True)
class Ticket(_Answer):
    """The job exists and is not finished. Answers a submit; some polls look like it too."""

    id: str
    eta: float | None = None
    links: Links = Links()


@frozen(kw_only=True)
class Pending(_Answer):
    """Not finished, says an answer that names no job: the documented answer to a poll."""

    eta: float | None = None


@frozen(kw_only=True)
class Finished(_Answer):
    """The job is done. ``links.output`` may still be empty: then it is not ready yet.

    ``generation_time`` and ``audio_time`` are seconds.
    """

    links: Links
    generation_time: float | None = None
    audio_time: float | None = None


@frozen(kw_only=True)
class Refused(_Answer):
    """The request was turned away. ``retry_after`` is seconds, ``maximum`` queued requests."""

    reason: Refusal
    message: str = ""
    retry_after: float | None = None
    maximum: int | None = None


@frozen(kw_only=True)
class Failed(_Answer):
    """The API says that the job has failed, or is not there."""

    reason: Failure
    message: str = ""


@frozen(kw_only=True)
class Unreadable:
    """Bytes that are no answer of this API; ``reason`` is ours, ``excerpt`` theirs, printable."""

    reason: str
    excerpt: str = ""


Reply: TypeAlias = Ticket | Pending | Finished | Refused | Failed | Unreadable


def read_reply(body: bytes, status: int = 200) -> Reply:
    """What this answer to a submit, a fetch, or in a webhook says.

    Args:
        body: the bytes, whole, with secrets already removed.
        status: the HTTP status they came with.
    """
    try:
        answer = decode_json(body)
    except ValueError as error:
        return _read_text(body, status, str(error))
    if not isinstance(answer, dict):
        return _read_text(body, status, "JSON, but no object")
    return _read_object(answer, status)


def decode_json(body: bytes) -> object:
    """JSON, with numbers that cannot be used (NaN, 5,000 digits) read as null.

    Raises:
        ValueError: not UTF-8, not JSON, nested deeper than 64, or two values for ``status`` or
            ``id``. The text of the error never quotes the body.
    """
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(
            text,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_finite,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value, MAX_DEPTH)
    return value


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        if names.count("status") > 1 or names.count("id") > 1:
            raise ValueError("two values for one name")
    return result


def _check_depth(value: object, left: int) -> None:
    if not isinstance(value, dict | list):
        return
    if not left:
        raise ValueError("nested too deep")
    for child in value.values() if isinstance(value, dict) else value:
        _check_depth(child, left - 1)


# --- answers that are JSON objects ------------------------------------------------------------

_FAILED_WORDS = frozenset({"error", "failed"})
_WAITING_WORDS = frozenset({"processing", "queued"})


def _read_object(answer: dict[str, Any], status: int) -> Reply:
    word = answer.get("status")
    word = word.lower() if isinstance(word, str) else None
    links = _links(answer)
    if word in _FAILED_WORDS or status >= 400 or (word is None and "error" in answer):
        return _read_no(answer, status, said_so=word in _FAILED_WORDS)
    if word == "success" or (word is None and links.output):
        return Finished(
            links=links,
            generation_time=_number(answer.get("generationTime")),
            audio_time=_number(answer.get("audio_time")),
            **_common(answer),
        )
    return _read_waiting(answer, word, links)


def _read_waiting(answer: dict[str, Any], word: str | None, links: Links) -> Reply:
    """An id makes a ticket even under a word we do not know: with the id, the job can be asked."""
    common = _common(answer)
    eta = _number(answer.get("eta"))
    if common["id"] is not None:
        return Ticket(eta=eta, links=links, **common)
    if word in _WAITING_WORDS:
        return Pending(eta=eta, **common)
    return Unreadable(reason="JSON with neither a known status nor an id", excerpt=_message(answer))


def _common(answer: dict[str, Any]) -> dict[str, Any]:
    fetch_result = answer.get("fetch_result")
    return {
        "id": _first_id(answer),
        "track_id": _track_id(answer),
        "fetch_result": fetch_result if isinstance(fetch_result, str) else None,
        "raw": answer,
    }


def _first_id(answer: dict[str, Any]) -> str | None:
    ids = (trusted_id(answer.get(name)) for name in ("id", "request_id", "taskId"))
    return next((one for one in ids if one), None)


def _track_id(answer: dict[str, Any]) -> str | None:
    """As text: the API takes integers and strings, and echoes either as it likes."""
    meta = answer.get("meta")
    places = [answer, meta if isinstance(meta, dict) else {}]
    for value in (place.get("track_id") for place in places):
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return safe_text(int(value) if isinstance(value, float) else value, 191)
    return None


def _number(value: object) -> float | None:
    """A number of seconds that is not negative, also where it came as text."""
    if isinstance(value, str):
        try:
            value = _finite(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)


def _links(answer: dict[str, Any]) -> Links:
    return Links(
        output=_urls(answer.get("output")) or _urls(answer.get("links")),
        proxy=_urls(answer.get("proxy_links")),
        future=_urls(answer.get("future_links")),
    )


def _urls(value: object) -> tuple[str, ...]:
    """Links in any of the shapes seen: a list, a bare string, objects with a ``url``."""
    values = value if isinstance(value, list) else [value]
    found = (one.get("url") if isinstance(one, dict) else one for one in values)
    return tuple(_as_url(one.strip()) for one in found if isinstance(one, str) and one.strip())


def _as_url(text: str) -> str:
    # "UklGR" is how base64 text of a RIFF file begins: some answers carry the file itself.
    return f"data:audio/wav;base64,{text}" if text.startswith("UklGR") else text


# --- answers that say no ----------------------------------------------------------------------

_CREDITS = re.compile(
    r"(insufficient|not enough|out of)\s+(\w+\s+)?(credit|balance|fund)|recharge", re.IGNORECASE
)
_KEY = re.compile(r"invalid api key|api key (is )?required|unauthenticated", re.IGNORECASE)
_RATE = re.compile(
    r"rate limit|current_queue|queue is full|queued requests|too many requests|spam filter",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(r"request not found", re.IGNORECASE)
_TRY_AGAIN = re.compile(r"failed,? try again", re.IGNORECASE)
_MAXIMUM = re.compile(r"maximum (?:of )?(\d{1,5}) ", re.IGNORECASE)
_WAIT = re.compile(r"wait (?:for )?(\d{1,5}) second", re.IGNORECASE)

# Statuses that prove a refusal by themselves: read by us, they say that no work was begun.
_REFUSING_STATUS = {
    400: Refusal.REQUEST,
    401: Refusal.KEY,
    402: Refusal.CREDITS,
    403: Refusal.PLAN,
    405: Refusal.REQUEST,
    413: Refusal.REQUEST,
    414: Refusal.REQUEST,
    415: Refusal.REQUEST,
    422: Refusal.REQUEST,
    429: Refusal.RATE,
}


def _read_no(answer: dict[str, Any], status: int, *, said_so: bool) -> Reply:
    text = _message(answer)
    reason = _refusal(text, status) or (
        Refusal.REQUEST if isinstance(answer.get("message"), dict) else None
    )
    if reason:
        return Refused(
            reason=reason,
            message=text,
            retry_after=_hint(answer.get("retry_after"), text),
            maximum=_maximum(text),
            **_common(answer),
        )
    if status == 404 or _NOT_FOUND.search(text):
        return Failed(reason=Failure.NOT_FOUND, message=text, **_common(answer))
    if not said_so:
        return Unreadable(reason=f"JSON without a status (HTTP {status})", excerpt=text)
    failure = Failure.TRY_AGAIN if _TRY_AGAIN.search(text) else Failure.FAILED
    return Failed(reason=failure, message=text, **_common(answer))


def _refusal(text: str, status: int) -> Refusal | None:
    """The order is from certain to vague; a broken server proves nothing by its words.

    503 is the exception: queue-full texts come with it.
    """
    if status >= 500:
        return Refusal.RATE if status == 503 and _RATE.search(text) else Refusal.SERVER
    for pattern, reason in (
        (_CREDITS, Refusal.CREDITS),
        (_KEY, Refusal.KEY),
        (_RATE, Refusal.RATE),
    ):
        if pattern.search(text):
            return reason
    return _REFUSING_STATUS.get(status)


def _hint(value: object, text: str) -> float | None:
    """Seconds to wait, from ``retry_after`` or from the sentence of the spam filter."""
    seconds = _number(value)
    if seconds is not None:
        return seconds
    found = _WAIT.search(text)
    return float(found[1]) if found else None


def _maximum(text: str) -> int | None:
    found = _MAXIMUM.search(text)
    return int(found[1]) or None if found else None


def _message(answer: dict[str, Any]) -> str:
    """All that the server says in words, as one printable line."""
    names = ("message", "messege", "error", "tips", "tip")
    words = (word for name in names for word in _words(answer.get(name), 4))
    return safe_text("; ".join(dict.fromkeys(words)))


def _words(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    if isinstance(value, dict | list) and depth:
        for child in value.values() if isinstance(value, dict) else value:
            yield from _words(child, depth - 1)


# --- answers that are not JSON ----------------------------------------------------------------


def _read_text(body: bytes, status: int, reason: str) -> Reply:
    text = safe_text(body[:600].decode("utf-8", "replace"))
    if status == 404:
        return Failed(reason=Failure.NOT_FOUND, message=text)
    refusal = _REFUSING_STATUS.get(status)
    if refusal is None and _is_queue_full(body, text, status):
        refusal = Refusal.RATE
    if refusal is None:
        return Unreadable(reason=_kind_of_text(body, reason), excerpt=text)
    return Refused(
        reason=refusal, message=text, retry_after=_hint(None, text), maximum=_maximum(text)
    )


def _is_queue_full(body: bytes, text: str, status: int) -> bool:
    """A page that happens to say so proves nothing; the plain text of the queue does."""
    return status in (200, 503) and not _is_html(body) and bool(_RATE.search(text))


def _is_html(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"


def _kind_of_text(body: bytes, reason: str) -> str:
    if not body.strip():
        return "an empty answer"
    return "a page of HTML" if _is_html(body) else reason
