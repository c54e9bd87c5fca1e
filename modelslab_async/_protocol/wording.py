"""Classify the wording of an error reply, ignoring words quoted from the request.

An error reply may quote the request: in full or truncated, in any field, in any case. The
classification must not depend on what a user writes into a prompt. Therefore quoted words are
removed before the patterns are applied, and the API's own sentences are recognised by their
beginning.
"""

from __future__ import annotations

import enum
import html
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from typing import Any, Final, TypeAlias

from attrs import frozen

Sentences: TypeAlias = tuple[str, ...]
"""Normalised texts of a reply: lower-case words and numbers, ``...`` for each quoted word."""

_NAMES: Final = (
    "message", "messege", "error", "errors", "tips", "tip", "detail", "details", "reason", "title",
    "description", "msg",
)  # fmt: skip
_DEPTH: Final = 4
_MAX_TEXT: Final = 32 * 1024
"""Maximum number of characters read from a reply, and from each text sent: some are files."""

_MAX_QUOTABLE: Final = 256 * 1024
_LONGEST_CUT: Final = 32

_WORD: Final = re.compile(r"\w+")
_ESCAPED_END: Final = re.compile(r"\\[nrt]")
_QUOTED: Final = re.compile("[\"'`\u2018-\u201e\u00ab\u00bb]")
_GAP: Final = "..."


class Refusal(enum.Enum):
    """Why a request was refused, independent of the wording and the HTTP status."""

    CREDITS = "credits"
    KEY = "key"
    PLAN = "plan"
    RATE = "rate"
    REQUEST = "request"
    SERVER = "server"


def sentences(answer: Mapping[str, Any], sent: Iterable[str] = ()) -> Sentences:
    """Return the texts of a JSON reply, normalised and without quoted words.

    Args:
        answer: the JSON object.
        sent: texts of the request.
    """
    return _normalised((text for name in _NAMES for text in texts(answer.get(name))), sent)


def plain(text: str, sent: Iterable[str] = ()) -> Sentences:
    """Return the text of a plain-text reply, normalised as by `sentences`."""
    return _normalised([text.strip().strip('"')], sent)


def quotable(sent: Iterable[str]) -> str:
    """Return the words of the texts sent, joined for `is_quoted`."""
    words = (_WORD.findall(_unescaped(text[:_MAX_QUOTABLE]).casefold()) for text in sent)
    return " ".join(chain.from_iterable((_GAP, *own) for own in words))


def is_quoted(text: str, own: str) -> bool:
    """Return whether a text consists only of consecutive words of the request.

    The last word may be truncated. A single word does not count as a quotation.

    Args:
        text: a reply, or a part of one.
        own: the words of the request, from `quotable`.
    """
    words = _words(text)
    return len(words) > 1 and f" {' '.join(words)}" in own


def texts(value: object, depth: int = _DEPTH) -> Iterator[str]:
    """Yield every non-empty string in a JSON value, down to ``depth`` levels."""
    if isinstance(value, str) and value:
        yield value
    if isinstance(value, dict | list) and depth:
        for child in value.values() if isinstance(value, dict) else value:
            yield from texts(child, depth - 1)


@frozen
class _SentWords:
    """The words of a request.

    Attributes:
        alone: words that are a whole text.
        pairs: every two consecutive words.
        words: all words.
    """

    alone: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    words: frozenset[str]

    @classmethod
    def of(cls, sent: Iterable[str]) -> _SentWords:
        """Collect the words of the texts sent; a quotation may end within its second word."""
        known = [_words(text) for text in sent]
        cut = [
            (words[0], words[1][:length])
            for words in known
            if len(words) > 1
            for length in range(1, min(len(words[1]), _LONGEST_CUT))
        ]
        return cls(
            frozenset(words[0] for words in known if len(words) == 1),
            frozenset(chain(cut, *map(pairwise, known))),
            frozenset(chain.from_iterable(known)),
        )


def _normalised(found: Iterable[str], sent: Iterable[str]) -> Sentences:
    own = _SentWords.of(sent)
    normalised: list[str] = []
    left = _MAX_TEXT
    for text in found:
        if left <= 0:
            break
        normalised.append(" ".join(_without_quoted(text[:left], own)))
        left -= len(text)
    return tuple(normalised)


def _words(text: str) -> list[str]:
    return _WORD.findall(_unescaped(text[:_MAX_TEXT]).casefold())


def _unescaped(text: str) -> str:
    return _ESCAPED_END.sub(" ", html.unescape(text))


def _without_quoted(text: str, own: _SentWords) -> Iterator[str]:
    """Yield the words of a text, with a gap for each word quoted from the request.

    A word counts as quoted if a pair that contains it was sent, if it was sent as a whole text, or
    if it is in quotation marks and was sent.
    """
    first, *others = _QUOTED.split(_unescaped(text))
    # The API's own sentences never begin with a quotation, so the gap prevents a match.
    words = _words(first) if first.strip() or not others else [_GAP]
    for number, part in enumerate(others, 1):
        inside = _words(part)
        quoted = number < len(others) and own.words.issuperset(inside)
        words += [_GAP] * len(inside) if quoted else inside
    gone = [word in own.alone for word in words]
    for place, pair in enumerate(pairwise(words)):
        if pair in own.pairs:
            gone[place] = gone[place + 1] = True
    return (_GAP if left_out else word for word, left_out in zip(words, gone, strict=True))


# --- patterns ------------------------------------------------------------------------------------

# Ordered: refusals of the account before refusals of one request. The wording is from the ModelsLab
# docs (error codes, rate limits, authentication, and the former errors page).
_NO_CREDITS: Final = (
    r"(?:(?:you (?:are|have) )?(?:insufficient|not enough|out of)|you (?:do not|don t) have"
    r" (?:enough|sufficient|any)) (?:\w+ )?(?:credits?|balance|funds)\b"
    r"|(?:please )?recharge your (?:wallet|account)\b"
)
_ACCOUNT: Final = (
    (Refusal.CREDITS, _NO_CREDITS),
    (Refusal.KEY, r"invalid api key\b|(?:an )?api key (?:is )?required\b|unauthenticated$"),
    (Refusal.PLAN, r"this feature requires\b|feature not available\b"),
)
_FIELD: Final = r"(?:the )?(?:selected )?\w+(?: \w+)?(?: field)?"
_REQUEST: Final = (
    rf"{_FIELD} (?:is required|must(?: not)? be|may not be|is invalid|format is invalid)\b"
    r"|invalid api request\b|model(?: id)? not found\b"
    r"|unable to fetch (?:the )?\w+ from (?:the )?(?:provided )?url\b"
)
_BEGINNINGS: Final = tuple(
    (kind, re.compile(words)) for kind, words in (*_ACCOUNT, (Refusal.REQUEST, _REQUEST))
)

_SECONDS: Final = r"\d+ ?(?:s|secs?|seconds?|m|mins?|minutes?)"
PERIODS: Final = r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?"
"""Pattern of a unit of time in a rate limit."""

_FULL: Final = (
    r"(?:the )?(?:api )?rate limit (?:is |was )?(?:exceeded|reached)"
    r"|(?:the )?queue is full|current_queue(?: is)?(?: full| \d+)?|too many (?:queued )?requests"
    r"|maximum (?:of )?\d+ (?:queued )?requests(?: are)?(?: allowed)?"
    rf"(?: (?:(?:per|every) )?(?:{PERIODS}))?(?: are)?(?: allowed)?"
    r"|you are sending (?:the )?same request multiple times|(?:the )?spam filter is enabled"
)
_ADVICE: Final = (
    rf"(?:please )?wait(?: for)? {_SECONDS}"
    rf"|(?:and |or )?(?:please )?(?:try again|retry)(?: later| in {_SECONDS}| after {_SECONDS})?"
)
_QUEUE_FULL: Final = re.compile(rf"(?:{_FULL})(?: (?:{_FULL}|{_ADVICE}))*")

_TRY_AGAIN: Final = re.compile(r"\b(?:try (?:\w+ )?(?:again|later)|retry|come back later)\b")
_SERVER_PROBLEM: Final = re.compile(
    r"\b(?:time ?outs?|timed out|deadline exceeded|internal|unavailable|gateway"
    r"|service (?:\w+ ){0,3}not available|upstream|deadlock|lock wait|curl|overload(?:ed)?"
    r"|server error|error occurred"
    r"|(?:unexpected|unknown) error|(?:something|it) went wrong|sqlstate|too early"
    r"|(?:network|socket|database|query) error|(?:redis|query|pdo|connect(?:ion)?)exception"
    r"|no space left|(?:high|heavy|under) load|too many connections"
    r"|connection (?:was |is )?(?:refused|reset|closed|lost|failed|aborted|error)"
    r"|(?:could not|cannot|can t|couldn t|unable to|failed to) (?:connect|resolve|reach|process)"
    r"|maintenance|temporar(?:y|ily)|shutting down|restart(?:ed|ing)?|not initialized"
    r"|service is (?:down|busy)|server is (?:down|busy)|lost connection|gone away|broken pipe)\b"
)
_WORK_FAILED: Final = re.compile(
    r"\b(?:out of memory|memory (?:size|limit)|cuda|execution time|crash(?:ed)?|\w*exception"
    r"|(?:stream|system|fatal|worker) error|encountered an?(?: \w+)? error"
    r"|(?:generation|inference|processing|job|task|worker|model)(?: \w+)? (?:failed|aborted|killed)"
    r"|failed to (?:generate|allocate|dispatch|enqueue|create|store|save|complete|execute)"
    r"|could not (?:be completed|allocate))\b"
)

_NO_ROUTE: Final = re.compile(r"(?:the )?route .{1,200} could not be found\b")
_NOT_FOUND: Final = re.compile(r"request not found\b")
_FAILED_TRY_AGAIN: Final = re.compile(r"failed try again\b")


def documented(sentences: Sentences) -> Refusal | None:
    """Return the refusal that a documented sentence states, or ``None``.

    A full queue must be the whole text: a text that only begins that way is about something else.
    """
    for kind, beginning in _BEGINNINGS:
        if any(map(beginning.match, sentences)):
            return kind
    return Refusal.RATE if is_queue_full(sentences) else None


def is_queue_full(sentences: Sentences) -> bool:
    """Return whether a text states a full queue, too many requests, or the spam filter."""
    return any(map(_QUEUE_FULL.fullmatch, sentences))


def is_server_problem(sentences: Sentences) -> bool:
    """Return whether a text reports a server-side problem; work may have started then."""
    return any(map(_SERVER_PROBLEM.search, sentences))


def is_failed_work(sentences: Sentences) -> bool:
    """Return whether a text reports work that started and failed, so it is not a refusal."""
    return any(map(_WORK_FAILED.search, sentences))


def says_try_again(sentences: Sentences) -> bool:
    """Return whether a text asks to try again; replies to an invalid request never do."""
    return any(map(_TRY_AGAIN.search, sentences))


def is_no_route(sentences: Sentences) -> bool:
    """Return whether a text says that the path does not exist."""
    return any(map(_NO_ROUTE.match, sentences))


def is_not_found(sentences: Sentences) -> bool:
    """Return whether a text says that the job is unknown; it may only be too early."""
    return any(map(_NOT_FOUND.match, sentences))


def is_failed_try_again(sentences: Sentences) -> bool:
    """Return whether a text is the older API's reply to a poll that came too early."""
    return any(map(_FAILED_TRY_AGAIN.match, sentences))
