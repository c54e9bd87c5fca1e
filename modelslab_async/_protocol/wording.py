"""Judge the words of an answer that says no, without those that it repeats of the request.

A refusal quotes what was sent as it likes: whole or cut, in any field, in any case. Its kind must
not depend on what a user writes into a prompt, so such words are taken out before any rule looks,
and the sentences of the API are known by how they begin.
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
"""What an answer says: lower case, words and numbers only, "..." for words of the request."""

_NAMES: Final = (
    "message", "messege", "error", "errors", "tips", "tip", "detail", "details", "reason", "title",
    "description", "msg",
)  # fmt: skip
_DEPTH: Final = 4
_MOST: Final = 32 * 1024
"""Characters that are looked at of an answer, and of each text that was sent: some are files."""

_MOST_QUOTABLE: Final = 256 * 1024
_LONGEST_CUT: Final = 32

_WORD: Final = re.compile(r"\w+")
_ESCAPED_END: Final = re.compile(r"\\[nrt]")
_QUOTED: Final = re.compile("[\"'`\u2018-\u201e\u00ab\u00bb]")
_GAP: Final = "..."


class Refusal(enum.Enum):
    """Why a request was turned away, whatever the wording and the HTTP status."""

    CREDITS = "credits"
    KEY = "key"
    PLAN = "plan"
    RATE = "rate"
    REQUEST = "request"
    SERVER = "server"


def sentences(answer: Mapping[str, Any], sent: Iterable[str] = ()) -> Sentences:
    """All that an answer says in words, without what it repeats.

    Args:
        answer: the JSON object.
        sent: texts of the request.
    """
    return _told((text for name in _NAMES for text in texts(answer.get(name))), sent)


def plain(text: str, sent: Iterable[str] = ()) -> Sentences:
    """The same of an answer that is one text."""
    return _told([text.strip().strip('"')], sent)


def quotable(sent: Iterable[str]) -> str:
    """The words of these texts in a row, for `is_quoted`."""
    words = (_WORD.findall(_unescaped(text[:_MOST_QUOTABLE]).casefold()) for text in sent)
    return " ".join(chain.from_iterable((_GAP, *own) for own in words))


def is_quoted(text: str, own: str) -> bool:
    """Whether an answer, or a part of one, is nothing but words of the request in a row.

    The last word may be cut. One word alone is no quotation: anybody may use it.

    Args:
        text: of the answer.
        own: the words of the request, from `quotable`.
    """
    words = _words(text)
    return len(words) > 1 and f" {' '.join(words)}" in own


def texts(value: object, depth: int = _DEPTH) -> Iterator[str]:
    """Every text in a value of JSON, down to a depth."""
    if isinstance(value, str) and value:
        yield value
    if isinstance(value, dict | list) and depth:
        for child in value.values() if isinstance(value, dict) else value:
            yield from texts(child, depth - 1)


@frozen
class _Own:
    """The words of a request, each by itself where that is a text, and two by two in a row."""

    alone: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    words: frozenset[str]

    @classmethod
    def of(cls, sent: Iterable[str]) -> _Own:
        """The words of these texts; a quotation may be cut within the second word already."""
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


def _told(said: Iterable[str], sent: Iterable[str]) -> Sentences:
    own = _Own.of(sent)
    found: list[str] = []
    left = _MOST
    for text in said:
        if left <= 0:
            break
        found.append(" ".join(_without(text[:left], own)))
        left -= len(text)
    return tuple(found)


def _words(text: str) -> list[str]:
    return _WORD.findall(_unescaped(text[:_MOST]).casefold())


def _unescaped(text: str) -> str:
    return _ESCAPED_END.sub(" ", html.unescape(text))


def _without(text: str, own: _Own) -> Iterator[str]:
    """The words of a text; a gap for two in a row that were sent so, and for quoted ones."""
    first, *others = _QUOTED.split(_unescaped(text))
    # What begins with a quotation does not begin with words of the API, whoever is quoted.
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


# --- what the sentences say -------------------------------------------------------------------

# In this order: what concerns the account before what concerns one request. The words are those of
# the ModelsLab docs (error codes, rate limits, authentication, and the errors page of before).
_POOR: Final = (
    r"(?:(?:you (?:are|have) )?(?:insufficient|not enough|out of)|you (?:do not|don t) have"
    r" (?:enough|sufficient|any)) (?:\w+ )?(?:credits?|balance|funds)\b"
    r"|(?:please )?recharge your (?:wallet|account)\b"
)
_ACCOUNT: Final = (
    (Refusal.CREDITS, _POOR),
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
"""What a number of requests is allowed in, as a part of a pattern."""

_CROWD: Final = (
    r"(?:the )?(?:api )?rate limit (?:is |was )?(?:exceeded|reached)"
    r"|(?:the )?queue is full|current_queue(?: is)?(?: full| \d+)?|too many (?:queued )?requests"
    r"|maximum (?:of )?\d+ (?:queued )?requests(?: are)?(?: allowed)?"
    rf"(?: (?:(?:per|every) )?(?:{PERIODS}))?(?: are)?(?: allowed)?"
    r"|you are sending (?:the )?same request multiple times|(?:the )?spam filter is enabled"
)
_COME_BACK: Final = (
    rf"(?:please )?wait(?: for)? {_SECONDS}"
    rf"|(?:and |or )?(?:please )?(?:try again|retry)(?: later| in {_SECONDS}| after {_SECONDS})?"
)
_CROWDED: Final = re.compile(rf"(?:{_CROWD})(?: (?:{_CROWD}|{_COME_BACK}))*")

_TRY_AGAIN: Final = re.compile(r"\b(?:try (?:\w+ )?(?:again|later)|retry|come back later)\b")
_TROUBLE: Final = re.compile(
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
_BROKEN: Final = re.compile(
    r"\b(?:out of memory|memory (?:size|limit)|cuda|execution time|crash(?:ed)?|\w*exception"
    r"|(?:stream|system|fatal|worker) error|encountered an?(?: \w+)? error"
    r"|(?:generation|inference|processing|job|task|worker|model)(?: \w+)? (?:failed|aborted|killed)"
    r"|failed to (?:generate|allocate|dispatch|enqueue|create|store|save|complete|execute)"
    r"|could not (?:be completed|allocate))\b"
)

_NO_ROUTE: Final = re.compile(r"(?:the )?route .{1,200} could not be found\b")
_NOT_FOUND: Final = re.compile(r"request not found\b")
_FAILED_TRY_AGAIN: Final = re.compile(r"failed try again\b")


def documented(said: Sentences) -> Refusal | None:
    """The refusal that a sentence of the docs tells; a full queue is told by nothing else beside.

    What begins in the words of a full queue and goes on in others is about something else.
    """
    for kind, beginning in _BEGINNINGS:
        if any(map(beginning.match, said)):
            return kind
    return Refusal.RATE if is_crowded(said) else None


def is_crowded(said: Sentences) -> bool:
    """Whether one text is that of a full queue, of too many requests, or of the spam filter."""
    return any(map(_CROWDED.fullmatch, said))


def is_trouble(said: Sentences) -> bool:
    """Whether the server, or one behind it, speaks of its own trouble: then work may have begun."""
    return any(map(_TROUBLE.search, said))


def is_broken(said: Sentences) -> bool:
    """Whether work was begun and broke: no request is turned away in such words."""
    return any(map(_BROKEN.search, said))


def says_try_again(said: Sentences) -> bool:
    """Whether it wants to be asked again, which whoever is at fault himself is not told."""
    return any(map(_TRY_AGAIN.search, said))


def is_no_route(said: Sentences) -> bool:
    """Whether the framework knows no such address."""
    return any(map(_NO_ROUTE.match, said))


def is_not_found(said: Sentences) -> bool:
    """Whether the API does not know the job, or not yet."""
    return any(map(_NOT_FOUND.match, said))


def is_failed_try_again(said: Sentences) -> bool:
    """Whether it is the answer of before to a poll that came too soon."""
    return any(map(_FAILED_TRY_AGAIN.match, said))
