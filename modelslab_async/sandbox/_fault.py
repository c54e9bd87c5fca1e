"""Faults: what goes wrong, and when. No I/O."""

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

# These use the raw connection. "The answer" is the response without the fault.
WireKind = Literal[
    "reset",  # RST instead of an answer
    "silent",  # no byte of an answer
    "cut_headers",  # FIN inside the headers
    "cut_body",  # FIN inside the body, before Content-Length is reached
    "reset_body",  # the same with RST
    "stall_body",  # the same with silence
    "drip",  # piece by piece
    "hang_up",  # complete, with keep-alive, then FIN
    "chunked",  # complete, in chunks: valid
    "chunked_cut",  # the last chunk is missing
    "chunked_early_end",  # a part of the body, with a last chunk
    "bad_chunk",  # a chunk size that is not a number
    "close_delimited",  # complete, no length, FIN: valid
    "close_delimited_cut",  # the same, a part of the body
    "http10",  # complete, HTTP/1.0 without a length: valid
    "http10_cut",  # the same, a part of the body
    "long_length",  # Content-Length above the body's
    "short_length",  # Content-Length below the body's
    "two_lengths",
    "negative_length",
    "length_and_chunked",
    "garbage",  # no status line
    "long_header",  # one of 9 KB
    "many_headers",  # 200 of them
    "raw",  # `body` unchanged, instead of an answer
    "endless",  # a body that never ends
]

# A different answer, or the changed one; sent as valid HTTP.
AnswerKind = Literal[
    "delay",  # the answer, later
    "answer",  # `status`, `headers` and `body`
    "patch",  # the answer with changed fields
    "redirect",
    "edge",  # an edge proxy's HTML page: 502, 504, 520, 522, 524
    "runtime",  # the PHP runtime's JSON without `status`: 503, 500, 408
    "informational",  # a flood of 1xx before the answer
    "noise",  # `body` before the answer, such as a PHP warning
    "gzip",  # compressed without Accept-Encoding
    "gzip_cut",  # compressed and truncated; Content-Length matches
    "empty",
    "html",
    "xml",  # AccessDenied
    "json",
    "base64",  # the answer's body as base64 text
]

# Valid bytes that are not the requested ones.
FileKind = Literal[
    "mp3",  # labelled audio/wav
    "flac",  # labelled audio/wav
    "other_wav",
    "partial_unasked",  # 206 of the first part without a Range
    "ignores_range",  # 200 with the whole file for a Range
    "new_etag",  # the object has been replaced
    "other_etag",  # 206 with the right bytes and another ETag
    "wrong_offset",  # 206 from another offset than requested
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
    """One fault: where it occurs, what it does, and how often.

    on: the endpoint, `connect` (an API connection, before a byte is read) or `webhook`.
    kind: what happens; see the comments in `EarlyKind` and the lists after it.
    times, skip, probability: the fault skips `skip` requests, then occurs at most `times` times
        (None: no limit), each time with this probability.
    accepted: submit only: whether the job is created and charged before the fault.
    status, headers, body, encoding: the response of `answer`, `edge`, `runtime`, `redirect` and
        `raw`. For other kinds, `status` and `headers` replace those of the response.
    fields, without: `patch` only: fields to set in the JSON, and names to remove.
    location: `redirect` only. `{api}`, `{storage}`, `{mirror}`, `{foreign}` and `{path}` are
        replaced by the sandbox's origins and the request's path; None sends no Location.
    seconds: the duration of `delay`, `silent`, `stall_body` and `late` (None: for ever), or the
        pause between the pieces of `drip`, `slow_request` and `endless`.
    at: where to cut a body: a byte offset (negative from the end) or a fraction such as 0.5. For
        `informational` and `many_headers` the number; for `drip` and `slow_request` the size of
        a piece in bytes.
    host: download only: inject only on this link.
    prompt: submit only: inject only if the prompt contains this text. In the `body` of an
        `answer`, `{prompt}` is replaced by the whole prompt, as JSON text.
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
        """Return the byte offset of `at` in a body of `size` bytes; by default the middle."""
        at = 0.5 if self.at is None else self.at
        offset = round(at * size) if isinstance(at, float) else at
        return max(0, min(size, offset if offset >= 0 else size + offset))


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
    """The faults of one scenario with their counters and random generators.

    Each fault has its own generator, seeded by its endpoint and kind, so that adding a fault does
    not change when the others occur.
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
        """Return the first fault that occurs now, or None. `early`: before the body is read."""
        for armed in self._armed.get((on, early), ()):
            fault = armed.fault
            if fault.host in (None, host) and (fault.prompt or "") in prompt and armed.fires():
                return fault
        return None
