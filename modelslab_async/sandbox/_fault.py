"""Describe one thing that goes wrong, and decide when it strikes. Nothing here touches a socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, Literal, get_args

from attrs import define, field, frozen, validators

Where = Literal[
    "connect",
    "submit",
    "fetch",
    "balance",
    "request_count",
    "assets",
    "voices",
    "voice_upload",
    "upload",
    "download",
    "webhook",
]
Host = Literal["primary", "mirror", "future"]

# Before the request's body is read.
EarlyKind = Literal[
    "reset_in_request",  # RST while the client may still be sending
    "slow_request",  # the body is read piece by piece
]

# The connection is used up; "the answer" is what would have been said otherwise.
WireKind = Literal[
    "reset",  # RST instead of an answer
    "silent",  # no byte of an answer
    "cut_headers",  # FIN inside the headers
    "cut_body",  # FIN inside the body, Content-Length said more
    "reset_body",  # the same with RST
    "stall_body",  # the same with silence
    "drip",  # piece by piece
    "hang_up",  # whole, on a connection that was to stay open, then FIN
    "chunked",  # whole, in chunks: legal
    "chunked_cut",  # chunks without the last one
    "chunked_early_end",  # a part of the body, ended as if it were all
    "bad_chunk",  # a chunk size that is no number
    "close_delimited",  # whole, no length, FIN: legal
    "close_delimited_cut",  # the same, a part of the body
    "http10",  # whole, HTTP/1.0 without a length: legal
    "http10_cut",  # the same, a part of the body
    "long_length",  # Content-Length above the body's
    "short_length",  # Content-Length below the body's
    "two_lengths",
    "negative_length",
    "length_and_chunked",
    "garbage",  # no status line
    "long_header",  # one of 9 KB
    "many_headers",  # 200 of them
    "raw",  # `body` as it is, instead of an answer
    "endless",  # a body that never ends
]

# Another answer, or the genuine one changed; sent as HTTP wants it.
AnswerKind = Literal[
    "delay",  # the answer, later
    "answer",  # `status`, `headers` and `body`
    "patch",  # the answer with other fields
    "redirect",
    "edge",  # an edge proxy's HTML page: 502, 504, 520, 522, 524
    "runtime",  # the PHP runtime's JSON without `status`: 503, 500, 408
    "informational",  # a flood of 1xx before the answer
    "noise",  # `body` before the answer, as a warning that PHP prints
    "gzip",  # compressed unasked
    "gzip_cut",  # compressed, cut, with the length of what is left
    "empty",
    "html",
    "xml",  # AccessDenied
    "json",
    "base64",  # the answer's body as base64 text
]

# Good bytes that are not the ones asked for.
FileKind = Literal[
    "mp3",  # labelled audio/wav
    "flac",  # labelled audio/wav
    "other_wav",
    "partial_unasked",  # 206 of the first part without a Range
    "ignores_range",  # 200 with the whole for a Range
    "new_etag",  # the object has been replaced
    "other_etag",  # 206 of the right bytes under another ETag
    "wrong_offset",  # 206 from another place than asked
    "range_refused",  # 416
]

WebhookKind = Literal["lost", "late", "patch", "answer"]
Kind = Literal[EarlyKind, WireKind, AnswerKind, FileKind, WebhookKind]

EARLY: tuple[str, ...] = get_args(EarlyKind)
FILE_KINDS: tuple[str, ...] = get_args(FileKind)
_API = (*EARLY, *get_args(WireKind), *get_args(AnswerKind))
_ALLOWED: dict[str, tuple[str, ...]] = {
    "connect": ("reset",),
    "download": (*_API, *FILE_KINDS),
    "webhook": get_args(WebhookKind),
}

_AT_LEAST_ONE: Any = validators.optional([validators.instance_of(int), validators.ge(1)])


@frozen(kw_only=True)
class Fault:
    """One failure: where it strikes, what it does, how often.

    on: the endpoint, `connect` (an API connection, before a byte is read) or `webhook`.
    kind: what happens; every kind has its note beside `EarlyKind` and the lists after it.
    times, skip, probability: strikes at most `times` (None: always), after `skip` requests that
        it lets pass, each time with this probability.
    accepted: submit only: whether the job was created and paid before the fault struck.
    status, headers, body, encoding: of `answer`, `edge`, `runtime`, `redirect` and `raw`; other
        kinds take `status` and `headers` over their own.
    fields, without: `patch` only: what is put into the genuine JSON, and what is taken out.
    location: `redirect` only. `{api}`, `{storage}`, `{mirror}`, `{foreign}` and `{path}` stand
        for the sandbox's own; None sends no Location.
    seconds: how long `delay`, `silent`, `stall_body` and `late` last (None: for ever); the pause
        between the pieces of `drip`, `slow_request` and `endless`.
    at: where a body is cut: a byte offset (negative from the end) or a share such as 0.5. For
        `informational` and `many_headers` how many; for `drip` and `slow_request` the piece size.
    host: download only: inject on this link alone.
    prompt: submit only: inject on requests alone whose prompt holds this. In the `body` of an
        `answer`, `{prompt}` stands for all of the prompt, as JSON spells it.
    """

    on: Where = field(validator=validators.in_(get_args(Where)))
    kind: Kind = field()
    times: int | None = field(default=1, validator=_AT_LEAST_ONE)
    skip: int = field(default=0, validator=[validators.instance_of(int), validators.ge(0)])
    probability: float = field(default=1.0, validator=[validators.ge(0), validators.le(1)])
    accepted: bool = True
    status: int | None = field(default=None)
    headers: Mapping[str, str] | None = None
    body: str | None = None
    encoding: str = "utf-8"
    fields: Mapping[str, Any] | None = None
    without: tuple[str, ...] = ()
    location: str | None = None
    seconds: float | None = field(default=None, validator=validators.optional(validators.ge(0)))
    at: int | float | None = None
    host: Host | None = field(default=None, validator=validators.in_((None, *get_args(Host))))
    prompt: str | None = None

    @kind.validator
    def _check_kind(self, _: object, kind: str) -> None:
        if kind not in _ALLOWED.get(self.on, _API):
            raise ValueError(f"a fault on {self.on!r} cannot be {kind!r}")

    @status.validator
    def _check_status(self, _: object, status: int | None) -> None:
        if status is not None and not 200 <= status <= 599:
            raise ValueError(f"a fault's status is 200 to 599, not {status}")

    def content(self) -> bytes:
        """Return `body` as bytes."""
        return (self.body or "").encode(self.encoding)

    def offset(self, size: int) -> int:
        """Return where `at` falls in a body of `size` bytes; the middle when it is not given."""
        at = 0.5 if self.at is None else self.at
        place = round(at * size) if isinstance(at, float) else at
        return max(0, min(size, place if place >= 0 else size + place))


@define
class _Armed:
    fault: Fault
    random: Random
    skip: int
    left: float

    def fires(self) -> bool:
        if self.left < 1:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.random.random() >= self.fault.probability:
            return False
        self.left -= 1
        return True


class FaultPlan:
    """The faults of one scenario with their counters and dice.

    Each fault has a generator of its own, named by what it is, so that one more fault does not
    reshuffle when the others inject.
    """

    def __init__(self, faults: Iterable[Fault], seed: int) -> None:
        self._armed: dict[tuple[str, bool], list[_Armed]] = {}
        seen: Counter[tuple[str, str]] = Counter()
        for fault in faults:
            name = (fault.on, fault.kind)
            random = Random(f"{seed}|fault|{fault.on}|{fault.kind}|{seen[name]}")
            seen[name] += 1
            left = float("inf") if fault.times is None else fault.times
            group = self._armed.setdefault((fault.on, fault.kind in EARLY), [])
            group.append(_Armed(fault, random, fault.skip, left))

    def draw(
        self, on: str, *, host: str | None = None, early: bool = False, prompt: str = ""
    ) -> Fault | None:
        """Return the first fault that strikes now, or None. `early`: before the body is read."""
        for armed in self._armed.get((on, early), ()):
            fault = armed.fault
            if fault.host in (None, host) and (fault.prompt or "") in prompt and armed.fires():
                return fault
        return None
