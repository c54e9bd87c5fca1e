"""Parse a response body into one of six reply types. All quirks of the wire format are here.

The parser is total: any bytes give a value, never an exception. It does not know the request;
`_policy` decides what a reply means for a submit or for a poll.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from http import HTTPStatus
from itertools import zip_longest
from typing import Any, TypeAlias

from attrs import Factory, field, frozen

from .._text import safe_text
from . import wire_values, wording
from .loose_json import is_echo, object_in_noise, plain_json, unwrapped
from .marks import Provenance
from .output import Output
from .wire_json import decode_json

from .wording import Refusal as Refusal, Sentences  # isort: skip


class Failure(enum.Enum):
    """Why the API gives no output for a job."""

    FAILED = "failed"
    TRY_AGAIN = "try again"
    NOT_FOUND = "not found"
    NO_ROUTE = "no such address"


def _count(urls: tuple[str, ...]) -> str:
    return f"<{len(urls)} links>"


@frozen
class RemoteFile:
    """One output file of a job, with all its links.

    Attributes:
        urls: links in the order to try: ``output``, then ``proxy_links``, then ``future_links``.
        job_id: of the job.
        index: of the file among the job's files, from 0.
        path: the path for polling the job; empty if unknown.
        gives: the kind of output that was requested; only such content is saved.
        asked, about: the range of seconds that was requested, and what a tag says; if known.
    """

    urls: tuple[str, ...] = field(repr=_count)
    job_id: str = ""
    index: int = 0
    path: str = field(default="", repr=False)
    gives: Output = field(default="audio", repr=False)
    asked: tuple[float, float] | None = field(default=None, repr=False, eq=False)
    about: Provenance | None = field(default=None, repr=False, eq=False)


@frozen
class Links:
    """The links of one reply, by field."""

    # Not in the repr: some "links" contain the file itself, and signed ones grant access to it.
    output: tuple[str, ...] = field(default=(), repr=_count)
    proxy: tuple[str, ...] = field(default=(), repr=_count)
    future: tuple[str, ...] = field(default=(), repr=_count)

    def merged(self, older: Links) -> Links:
        """Return these links; fields that are empty come from an older reply."""
        return Links(
            self.output or older.output, self.proxy or older.proxy, self.future or older.future
        )

    def files(self, job_id: str, path: str = "", gives: Output = "audio") -> tuple[RemoteFile, ...]:
        """Return one file per output; without outputs, one per proxy or future link.

        A list of mirrors with another length than the outputs cannot be matched: it is ignored.
        """
        count = len(self.output) or max(len(self.proxy), len(self.future))
        mirrors = (links for links in (self.proxy, self.future) if len(links) == count)
        rows = zip_longest(self.output, *mirrors)
        return tuple(
            RemoteFile(tuple(dict.fromkeys(url for url in row if url)), job_id, index, path, gives)
            for index, row in enumerate(rows)
        )


@frozen(kw_only=True)
class _Answer:
    """The fields common to all readable replies. ``status`` is the HTTP status."""

    id: str | None = None
    track_id: str | None = None
    fetch_result: str | None = field(default=None, repr=False)
    status: int = 200
    raw: dict[str, Any] = field(default=Factory(dict), repr=False, eq=False)


@frozen(kw_only=True)
class Ticket(_Answer):
    """The job exists and is not finished: the reply to a submit, and to some polls."""

    id: str
    eta: float | None = None
    links: Links = Links()


@frozen(kw_only=True)
class Pending(_Answer):
    """Not finished, in a reply without a job id: the documented reply to a poll."""

    eta: float | None = None


@frozen(kw_only=True)
class Finished(_Answer):
    """The job has succeeded. If ``links.output`` is empty, its output is not ready yet.

    ``generation_time`` and ``audio_time`` are seconds.
    """

    links: Links
    generation_time: float | None = None
    audio_time: float | None = None


@frozen(kw_only=True)
class Refused(_Answer):
    """The request was refused.

    ``retry_after`` is seconds, ``maximum`` queued requests, ``interval`` the seconds from one
    request to the next at the rate that is allowed.

    ``bare``: only the HTTP status says so, not the API's own wording. A proxy may have sent it,
    even if the API accepted the request.
    """

    reason: Refusal
    message: str = ""
    retry_after: float | None = None
    maximum: int | None = None
    interval: float | None = None
    bare: bool = False


@frozen(kw_only=True)
class Failed(_Answer):
    """The API says that the job has failed or does not exist."""

    reason: Failure
    message: str = ""


@frozen(kw_only=True)
class Unreadable:
    """Bytes that are not a reply of this API; ``excerpt`` is their start, made printable.

    ``id`` is the job that they seem to name: a hint, not proof. ``reason`` is our own text.
    """

    reason: str
    excerpt: str = ""
    id: str | None = None


Reply: TypeAlias = Ticket | Pending | Finished | Refused | Failed | Unreadable


def read_reply(body: bytes, status: int = 200, *, sent: Iterable[str] = ()) -> Reply:
    """Parse the reply to a submit or a poll, or the body of a webhook.

    Args:
        body: the complete body, with secrets already removed.
        status: the HTTP status.
        sent: texts of the request. A reply may quote them; the quoted words are ignored.
    """
    plain = plain_json(body)
    body = unwrapped(plain, sent)
    if 300 <= status < 400:
        return _redirected(body, status, sent)
    answer, reason = None, "JSON, but no object"
    try:
        answer = decode_json(body)
    except ValueError as error:
        reason = str(error)
    if isinstance(answer, dict) and not is_echo(body, sent):
        if body == plain or _word(answer) in _WORDS:
            return _read_object(answer, status, sent)
        reason = "JSON in a string, without a known status"
    return _job_in_noise(body, status, sent) or _read_text(body, status, reason, sent)


def with_id(reply: Reply, job_id: str) -> Reply:
    """Return the reply as if it named this job, unless it names one or is unreadable."""
    if isinstance(reply, Unreadable) or reply.id is not None:
        return reply
    return _read_object({**reply.raw, "id": job_id}, reply.status, ())


def _job_in_noise(body: bytes, status: int, sent: Iterable[str]) -> Ticket | Finished | None:
    """Return the job from JSON with text around it; nothing else in such a reply is trusted."""
    answer = object_in_noise(body, sent)
    shaped = answer is not None and _word(answer) in _ACCEPTED_WORDS
    reply = _read_object(answer, status, ()) if answer is not None and shaped else None
    return reply if isinstance(reply, Ticket | Finished) and reply.id else None


def _redirected(body: bytes, status: int, sent: Iterable[str]) -> Unreadable:
    """Return a redirect as unreadable, whatever its body says: redirects are not followed."""
    return Unreadable(
        reason=f"a redirect (HTTP {status}), which is not followed",
        excerpt=_excerpt(body),
        id=wire_values.named_id(body, sent),
    )


# --- replies that are JSON objects ------------------------------------------------------------

_FAILED_WORDS = frozenset({"error", "failed"})
_WAITING_WORDS = frozenset({"processing", "queued"})
_ACCEPTED_WORDS = _WAITING_WORDS | {"success"}
_WORDS = _ACCEPTED_WORDS | _FAILED_WORDS


def _word(answer: dict[str, Any]) -> str | None:
    word = answer.get("status")
    return word.lower() if isinstance(word, str) else None


def _read_object(answer: dict[str, Any], status: int, sent: Iterable[str]) -> Reply:
    word = _word(answer)
    links = _links(answer)
    common = _common(answer, status)
    # A reply that names a job is accepted under any HTTP status: a proxy may have changed it.
    good = word in _ACCEPTED_WORDS and bool(common["id"] or links.output)
    if word in _FAILED_WORDS or (
        not good and (status >= 400 or (word is None and answer.get("error")))
    ):
        return _read_error(answer, status, sent, failed=word in _FAILED_WORDS)
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
    """Return a `Ticket` for any reply with an id, even of unknown status: it can be polled."""
    eta = wire_values.number(answer.get("eta"))
    if common["id"] is not None:
        promised = Links(proxy=links.proxy, future=links.future or links.output)
        return Ticket(eta=eta, links=promised, **common)
    if word in _WAITING_WORDS or common["fetch_result"]:
        return Pending(eta=eta, **common)
    return _unreadable_object(answer, "JSON with neither a known status nor an id")


def _unreadable_object(answer: dict[str, Any], reason: str) -> Unreadable:
    return Unreadable(
        reason=reason, excerpt=wire_values.message(answer), id=wire_values.traced_id(answer)
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
        output=output or wire_values.urls(answer.get("links")) or wire_values.chunk(answer),
        proxy=wire_values.urls(answer.get("proxy_links")),
        future=wire_values.urls(answer.get("future_links")),
    )


# --- errors and refusals ----------------------------------------------------------------------

# Statuses of a refusal if the API itself sends them: no work has started (docs, error codes).
_REFUSING_STATUS = {
    400: Refusal.REQUEST,
    401: Refusal.KEY,
    402: Refusal.CREDITS,
    403: Refusal.PLAN,
    405: Refusal.REQUEST,
    413: Refusal.REQUEST,
    415: Refusal.REQUEST,
    422: Refusal.REQUEST,
    429: Refusal.RATE,
}

# The keys of an error by Laravel, the API's framework, which has no ``status``.
_FRAMEWORK_NAMES = frozenset(
    {"message", "messege", "errors", "exception", "file", "line", "trace", "tip", "tips"}
    | {"retry_after"}
)
# Messages in the JSON of common gateways: the reason phrases, and a few of their own.
_PHRASES = frozenset(
    {HTTPStatus(status).phrase.casefold() for status in _REFUSING_STATUS if status != 429}
    | {"", "error", "access denied", "limit exceeded", "missing authentication token"}
    | {"invalid request body", "request too long", "payload too large", "content too large"}
)


def _read_error(answer: dict[str, Any], status: int, sent: Iterable[str], *, failed: bool) -> Reply:
    text = wire_values.message(answer)
    common = _common(answer, status)
    if not failed:  # ``request_id`` may be a gateway's; ``id`` is a job's
        common["id"] = wire_values.job_id({**answer, "request_id": None})
    if not failed and common["id"]:
        return Ticket(**common)
    sentences = wording.sentences(answer, sent)
    if status == 404 and _is_from_framework(answer) and _is_no_route(answer, sentences):
        return Failed(reason=Failure.NO_ROUTE, message=text, **common)
    if status == 404 or (status < 500 and wording.is_not_found(sentences)):
        return Failed(reason=Failure.NOT_FOUND, message=text, **common)
    shaped = failed or (_is_from_framework(answer) and not _is_gateway_phrase(answer, status))
    if status < 300 and failed and wording.is_failed_try_again(sentences):
        return Failed(reason=Failure.TRY_AGAIN, message=text, **common)
    reason = _refusal(answer, status, sentences, shaped=shaped, failed=failed)
    if reason:
        return Refused(
            reason=reason,
            message=text,
            retry_after=wire_values.retry_after(answer.get("retry_after"), sentences),
            maximum=wire_values.max_queued(sentences),
            interval=wire_values.request_interval(sentences),
            bare=not shaped and status == 429,
            **common,
        )
    if not failed:
        return _unreadable_object(answer, f"JSON without a status (HTTP {status})")
    return Failed(reason=Failure.FAILED, message=text, **common)


def _refusal(
    answer: dict[str, Any], status: int, sentences: Sentences, *, shaped: bool, failed: bool
) -> Refusal | None:
    """Return why a request was refused, or ``None``. A server problem is no proof of a refusal."""
    documented = wording.documented(sentences)
    if documented is Refusal.RATE and wire_values.job_id(answer):
        documented = None  # a job that exists did get a slot, so the words are about something else
    server_problem = wording.is_server_problem(sentences)
    if status >= 500:
        full = status == 503 and documented is Refusal.RATE and not server_problem
        return Refusal.RATE if full else Refusal.SERVER
    if status in _REFUSING_STATUS and (shaped or status == 429):
        if documented is None and wording.is_failed_work(sentences):
            return None
        vague = documented is None and status != 429 and wording.says_try_again(sentences)
        return Refusal.SERVER if server_problem or vague else _refusal_of_status(status, documented)
    if status >= 400:
        return Refusal.SERVER if failed else None
    if server_problem:
        return Refusal.SERVER if failed else None
    if status == 200 and documented and (failed or documented is Refusal.RATE):
        return documented
    if failed and wording.says_try_again(sentences):
        return Refusal.SERVER
    validation = status == 200 and failed and _is_validation(answer.get("message"))
    return Refusal.REQUEST if validation else None


def _refusal_of_status(status: int, documented: Refusal | None) -> Refusal:
    """Return the refusal of a status; words about credits or the key take precedence."""
    if documented in (Refusal.CREDITS, Refusal.KEY) and status not in (401, 402):
        return documented
    return _REFUSING_STATUS[status]


def _is_from_framework(answer: dict[str, Any]) -> bool:
    return "message" in answer and answer.keys() <= _FRAMEWORK_NAMES


def _is_no_route(answer: dict[str, Any], sentences: Sentences) -> bool:
    exception = answer.get("exception")
    if isinstance(exception, str):
        return exception.endswith("NotFoundHttpException")
    return wording.is_no_route(sentences) or answer == {"message": ""}


def _is_gateway_phrase(answer: dict[str, Any], status: int) -> bool:
    """Return whether the message may be a gateway's. Never for 429: it forwarded nothing then."""
    words = answer["message"]
    if not isinstance(words, str):
        return not words
    return status != 429 and words.casefold().strip(" .!") in _PHRASES


def _is_validation(message: object) -> bool:
    """Return whether the message is Laravel's object of validation errors by field."""
    if not isinstance(message, dict) or not message:
        return False
    lists = (one if isinstance(one, list) else [one] for one in message.values())
    return all(one and all(isinstance(text, str) for text in one) for one in lists)


# --- replies that are not JSON ----------------------------------------------------------------


def _read_text(body: bytes, status: int, reason: str, sent: Iterable[str]) -> Reply:
    text, named = _excerpt(body), wire_values.id_in_fragment(body, sent)
    if status == 404 and not named:
        return Failed(reason=Failure.NOT_FOUND, message=text, status=status)
    sentences = wording.plain(body.decode("utf-8", "replace"), sent)
    full = status in (200, 429, 503) and _is_plain(body) and wording.is_queue_full(sentences)
    if named or (not full and status != 429):
        return Unreadable(reason=_kind_of_text(body, reason), excerpt=text, id=named)
    return Refused(
        reason=Refusal.RATE,
        message=text,
        retry_after=wire_values.retry_after(None, sentences),
        maximum=wire_values.max_queued(sentences),
        interval=wire_values.request_interval(sentences),
        bare=not full,
        status=status,
    )


def _excerpt(body: bytes) -> str:
    return safe_text(body[:600].decode("utf-8", "replace"))


def _is_plain(body: bytes) -> bool:
    """Return whether a body is plain text, neither HTML nor damaged JSON.

    A damaged reply may belong to an accepted job and quote such words from its prompt.
    """
    return b"<" not in body and b"{" not in body


def _kind_of_text(body: bytes, reason: str) -> str:
    if not body.strip():
        return "an empty answer"
    return "a page of HTML" if body.lstrip()[:1] == b"<" else reason
