"""Read an answer: bytes in, one of six values out. Every wire quirk lives here, once.

The reader is total: any bytes give a value, never an exception. It knows nothing of what was asked;
what an answer means for a submit or for a poll is decided in `policy`.
"""

from __future__ import annotations

import enum
import re
from itertools import zip_longest
from typing import Any, TypeAlias

from attrs import Factory, field, frozen

from . import wire_values
from .trust import safe_text
from .wire_json import decode_json


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


def _count(urls: tuple[str, ...]) -> str:
    return f"<{len(urls)} links>"


@frozen
class RemoteFile:
    """One file that a job made, and everywhere it may lie.

    Attributes:
        urls: links in the order to try: ``output``, then ``proxy_links``, then ``future_links``.
        job_id: the job that made it.
        index: its place among the files of that job, from 0.
        path: where the API is asked about that job, when it has named a place.
    """

    urls: tuple[str, ...] = field(repr=_count)
    job_id: str = ""
    index: int = 0
    path: str = field(default="", repr=False)


@frozen
class Links:
    """Links of one answer, by the field they came in."""

    # Some "links" are the file itself, and others let whoever reads a log fetch it.
    output: tuple[str, ...] = field(default=(), repr=_count)
    proxy: tuple[str, ...] = field(default=(), repr=_count)
    future: tuple[str, ...] = field(default=(), repr=_count)

    def merged(self, older: Links) -> Links:
        """These links, and where a field is empty, what an older answer said."""
        return Links(
            self.output or older.output, self.proxy or older.proxy, self.future or older.future
        )

    def files(self, job_id: str, path: str = "") -> tuple[RemoteFile, ...]:
        """One file for each output; where there is none, for each link that may lead to one.

        Mirrors that are not as many as the outputs are left out: nobody can say which is whose.
        """
        count = len(self.output) or max(len(self.proxy), len(self.future))
        mirrors = [links for links in (self.proxy, self.future) if len(links) == count]
        rows = zip_longest(self.output, *mirrors)
        return tuple(
            RemoteFile(tuple(dict.fromkeys(url for url in row if url)), job_id, index, path)
            for index, row in enumerate(rows)
        )


@frozen(kw_only=True)
class _Answer:
    """What any readable answer may carry beside its meaning. ``status`` is the HTTP status."""

    id: str | None = None
    track_id: str | None = None
    fetch_result: str | None = field(default=None, repr=False)
    status: int = 200
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
    """Bytes that are no answer of this API; ``reason`` is ours, ``excerpt`` theirs, printable.

    ``id`` is the job that they seem to name nevertheless: a hint, never a proof.
    """

    reason: str
    excerpt: str = ""
    id: str | None = None


Reply: TypeAlias = Ticket | Pending | Finished | Refused | Failed | Unreadable


def read_reply(body: bytes, status: int = 200) -> Reply:
    """What this answer to a submit, a fetch, or in a webhook says.

    Args:
        body: the bytes, whole, with secrets already removed.
        status: the HTTP status they came with.
    """
    if 300 <= status < 400:
        return _redirected(body, status)
    try:
        answer = decode_json(body)
    except ValueError as error:
        return _read_text(body, status, str(error))
    if not isinstance(answer, dict):
        return _read_text(body, status, "JSON, but no object")
    return _read_object(answer, status)


def _redirected(body: bytes, status: int) -> Unreadable:
    """Whatever a redirect says beside, somebody else is to be asked, and we do not ask him."""
    return Unreadable(
        reason=f"a redirect (HTTP {status}), which is not followed",
        excerpt=_excerpt(body),
        id=_named(body),
    )


def _named(body: bytes) -> str | None:
    try:
        answer = decode_json(body)
    except ValueError:
        return wire_values.id_in_fragment(body)
    return wire_values.job_id(answer) if isinstance(answer, dict) else None


# --- answers that are JSON objects ------------------------------------------------------------

_FAILED_WORDS = frozenset({"error", "failed"})
_WAITING_WORDS = frozenset({"processing", "queued"})
_GOOD_WORDS = _WAITING_WORDS | {"success"}


def _read_object(answer: dict[str, Any], status: int) -> Reply:
    word = answer.get("status")
    word = word.lower() if isinstance(word, str) else None
    links = _links(answer)
    common = _common(answer, status)
    if status >= 400 and word in _GOOD_WORDS and (common["id"] or links.output):
        return _contradicting(answer, f"HTTP {status}, but a job in it")
    if word in _FAILED_WORDS or status >= 400 or (word is None and answer.get("error")):
        return _read_no(answer, status, said_so=word in _FAILED_WORDS)
    if word == "success" or (word is None and links.output):
        return Finished(
            links=links,
            generation_time=wire_values.number(answer.get("generationTime")),
            audio_time=wire_values.number(answer.get("audio_time")),
            **common,
        )
    return _read_waiting(answer, word, links, common)


def _read_waiting(
    answer: dict[str, Any], word: str | None, links: Links, common: dict[str, Any]
) -> Reply:
    """An id makes a ticket even under a word we do not know: with the id, the job can be asked."""
    eta = wire_values.number(answer.get("eta"))
    if common["id"] is not None:
        promised = Links(proxy=links.proxy, future=links.future or links.output)
        return Ticket(eta=eta, links=promised, **common)
    if word in _WAITING_WORDS:
        return Pending(eta=eta, **common)
    return _contradicting(answer, "JSON with neither a known status nor an id")


def _contradicting(answer: dict[str, Any], reason: str) -> Unreadable:
    return Unreadable(
        reason=reason, excerpt=wire_values.message(answer), id=wire_values.job_id(answer)
    )


def _common(answer: dict[str, Any], status: int) -> dict[str, Any]:
    fetch_result = answer.get("fetch_result")
    return {
        "id": wire_values.job_id(answer),
        "track_id": wire_values.track_id(answer),
        "fetch_result": fetch_result if isinstance(fetch_result, str) else None,
        "status": status,
        "raw": answer,
    }


def _links(answer: dict[str, Any]) -> Links:
    output = wire_values.urls(answer.get("output"))
    return Links(
        output=output or wire_values.urls(answer.get("links")),
        proxy=wire_values.urls(answer.get("proxy_links")),
        future=wire_values.urls(answer.get("future_links")),
    )


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
    text = wire_values.message(answer)
    common = _common(answer, status)
    reason = _refusal(text, status, named=common["id"] is not None) or (
        Refusal.REQUEST if isinstance(answer.get("message"), dict) else None
    )
    if reason:
        return Refused(
            reason=reason,
            message=text,
            retry_after=wire_values.wait(answer.get("retry_after"), text),
            maximum=wire_values.maximum(text),
            **common,
        )
    if status == 404 or _NOT_FOUND.search(text):
        return Failed(reason=Failure.NOT_FOUND, message=text, **common)
    if not said_so:
        return _contradicting(answer, f"JSON without a status (HTTP {status})")
    failure = Failure.TRY_AGAIN if _TRY_AGAIN.search(text) else Failure.FAILED
    return Failed(reason=failure, message=text, **common)


def _refusal(text: str, status: int, *, named: bool) -> Refusal | None:
    """The order is from certain to vague; a broken server proves nothing by its words.

    503 is the exception: queue-full texts come with it. An answer that names a job does not say
    that the queue had no room for it: those words are about something else.
    """
    crowded = not named and bool(_RATE.search(text))
    if status >= 500:
        return Refusal.RATE if status == 503 and crowded else Refusal.SERVER
    if status == 402 or _CREDITS.search(text):
        return Refusal.CREDITS
    if status == 401 or _KEY.search(text):
        return Refusal.KEY
    if crowded and status != 403:
        return Refusal.RATE
    return _REFUSING_STATUS.get(status)


# --- answers that are not JSON ----------------------------------------------------------------


def _read_text(body: bytes, status: int, reason: str) -> Reply:
    text = _excerpt(body)
    if status == 404:
        return Failed(reason=Failure.NOT_FOUND, message=text, status=status)
    refusal = _REFUSING_STATUS.get(status)
    if refusal is None and _is_queue_full(body, text, status):
        refusal = Refusal.RATE
    if refusal is None:
        return Unreadable(
            reason=_kind_of_text(body, reason), excerpt=text, id=wire_values.id_in_fragment(body)
        )
    return Refused(
        reason=refusal,
        message=text,
        retry_after=wire_values.wait(None, text),
        maximum=wire_values.maximum(text),
        status=status,
    )


def _excerpt(body: bytes) -> str:
    return safe_text(body[:600].decode("utf-8", "replace"))


def _is_queue_full(body: bytes, text: str, status: int) -> bool:
    """A page that happens to say so proves nothing, nor does a broken answer.

    A broken answer may be that of an accepted job, and repeat the words from its prompt.
    """
    plain = b"<" not in body and b"{" not in body
    return plain and status in (200, 503) and bool(_RATE.search(text))


def _is_html(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"


def _kind_of_text(body: bytes, reason: str) -> str:
    if not body.strip():
        return "an empty answer"
    return "a page of HTML" if _is_html(body) else reason
