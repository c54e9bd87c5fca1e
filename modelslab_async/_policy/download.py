"""Decide where to get a file from next, and whether what arrived may be published.

Nothing here waits, opens a file or a socket.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from attrs import evolve, field, frozen

from .._protocol.output import Judged
from .._protocol.retry_after import max_or_none
from .._protocol.sound import Completeness
from .validators import at_least

_MAX_ROUND_WAIT = 15.0
_WRONG_ROUNDS = 3

# Limits for one link. Times are multiples of `DownloadPolicy.timeout`, which is 30 s by default.
_MAX_LINK_TIME = 240
_MIN_TIME_TO_EXTRAPOLATE = 2
_MIN_TIME_WITHOUT_SIZE = 10
_RATE_FACTOR_WITHOUT_SIZE = 4  # times `min_rate`


@frozen(kw_only=True)
class DownloadPolicy:
    """How persistently to download a file.

    Attributes:
        patience: seconds without a new byte after which the download fails. Links of a finished
            job return 404 for a while (CDN lag), sometimes for minutes.
        first_wait: seconds to wait after the first round over all links; doubles up to 15.
        timeout: seconds for connecting and the response's head, then for each further read.
        min_rate: bytes per second; a link that is slower for ``timeout`` is abandoned for the
            next. So is a link that would take over 240 times ``timeout`` (two hours) for the whole
            file, or that announces no size and stays under four times this rate for ten times
            ``timeout``. No host can hold a download slot forever.
        max_bytes: the largest file to accept.
        tag: add INFO and XMP to WAV files: that a model made them, with prompt and job. The samples
            stay the same bytes; so does a file that arrives with a C2PA manifest.
    """

    patience: float = field(default=120.0, validator=at_least(0))
    first_wait: float = field(default=0.5, validator=at_least(0, exclusive=True))
    timeout: float = field(default=30.0, validator=at_least(0, exclusive=True))
    min_rate: float = field(default=1024.0, validator=at_least(0))
    max_bytes: int = field(default=512 * 1024 * 1024, validator=at_least(0, exclusive=True))
    tag: bool = False


class Integrity(enum.StrEnum):
    """The evidence that a published file is complete."""

    EXACT = "exact"
    """The file's own sizes or counts agree with the length that the server announced."""
    LENGTH = "length"
    """The announced length; the format, or its streaming header, states no size."""
    RIFF = "riff"
    """The sizes in a WAV file's own header; the server announced no length."""
    STRUCTURE = "structure"
    """The same for other formats: every frame that the file counts is present and complete."""
    REPEATED = "repeated"
    """Two transfers that ended properly gave the same bytes; no length is stated anywhere."""
    MENDED = "mended"
    """Any of the above, and the header was rewritten so that other programs can read the file."""
    SOURCE_SHORT = "source_short"
    """Two complete transfers gave the same bytes, fewer than the header states."""
    ANNOUNCED = "announced"
    """The announced length alone: this client cannot check such content."""


class Ending(enum.Enum):
    """How a transfer that was not interrupted signalled its end."""

    ANNOUNCED = "as many bytes as announced arrived"
    MARKED = "the last chunk or the end of a compressed stream arrived"
    CLOSED = "the connection was closed"


class FailureKind(enum.Enum):
    """Why one attempt at one link produced no file."""

    NETWORK = "the connection failed"
    SLOW = "the transfer is too slow"
    CUT = "the file is incomplete"
    BUSY = "the host is busy"
    GONE = "the link is dead"
    WRONG = "the content is not what was requested"
    REFUSED = "the link is not allowed"
    ADDRESS = "connections to its address are not allowed"


@frozen
class AttemptFailure:
    """One failed attempt.

    Attributes:
        kind: why it failed.
        detail: the reason in our own words, never the server's text.
        progressed: whether it received bytes from which the next attempt can resume.
        retry_after: seconds that the host asked to wait.
        fingerprint: sha256 of a transfer that ended properly but is not sufficient evidence; a
            second transfer of the same bytes may be.
    """

    kind: FailureKind
    detail: str = ""
    progressed: bool = False
    retry_after: float | None = None
    fingerprint: str | None = None


@frozen
class Transfer:
    """The state of one file's attempts."""

    links: int
    last_progress: float
    link: int = 0
    rounds: int = 0
    wait: float | None = None
    refreshed: bool = False
    failures: tuple[AttemptFailure, ...] = ()


@frozen
class Get:
    """Try this link after ``delay`` seconds, from the byte where the part file ends."""

    link: int
    delay: float


@frozen
class Abort:
    """Fail: no link gave the file. Carries the most informative failure."""

    kind: FailureKind
    detail: str


@frozen
class Refresh:
    """Ask the API once for current links; without new ones, do what ``otherwise`` says."""

    otherwise: Get | Abort


Step: TypeAlias = Get | Refresh | Abort


def next_step(
    transfer: Transfer, failure: AttemptFailure, now: float, policy: DownloadPolicy
) -> tuple[Transfer, Step]:
    """Return the new state and what to do after a failed attempt."""
    if failure.progressed:
        resumed = evolve(transfer, last_progress=now, rounds=0, wait=None, failures=())
        return resumed, Get(transfer.link, 0.0)
    advanced = evolve(
        transfer,
        link=(transfer.link + 1) % transfer.links,
        wait=max_or_none(transfer.wait, failure.retry_after),
        failures=(*transfer.failures, failure)[-16:],
    )
    if advanced.link:
        return advanced, Get(advanced.link, 0.0)
    return _next_round(evolve(advanced, rounds=transfer.rounds + 1), now, policy)


_FINAL = frozenset({FailureKind.REFUSED, FailureKind.ADDRESS, FailureKind.WRONG})


def _next_round(transfer: Transfer, now: float, policy: DownloadPolicy) -> tuple[Transfer, Step]:
    kinds = {failure.kind for failure in transfer.failures}
    refused = kinds <= {FailureKind.REFUSED, FailureKind.ADDRESS}
    hopeless = kinds <= _FINAL and transfer.rounds >= _WRONG_ROUNDS
    remaining = transfer.last_progress + policy.patience - now
    step: Get | Abort
    if refused or hopeless or remaining <= 0:
        step = _abort(transfer.failures)
    else:
        wait = min(_MAX_ROUND_WAIT, policy.first_wait * 2.0 ** min(transfer.rounds - 1, 10))
        # However long a host asks to wait, it gets one more attempt when our patience ends.
        step = Get(0, min(remaining, max(wait, transfer.wait or 0.0)))
    transfer = evolve(transfer, wait=None)
    # Links may be from an earlier run, so the API is asked for current ones before a file is lost.
    dead = FailureKind.GONE in kinds and transfer.rounds >= 2
    if (dead or isinstance(step, Abort)) and not transfer.refreshed:
        return evolve(transfer, refreshed=True), Refresh(step)
    return transfer, step


_BY_RELEVANCE = (
    FailureKind.ADDRESS,  # the only one that the caller can fix with a setting
    FailureKind.CUT,
    FailureKind.WRONG,
    FailureKind.SLOW,
    FailureKind.BUSY,
    FailureKind.NETWORK,
    FailureKind.GONE,  # reported only if every link is dead
    FailureKind.REFUSED,
)


def _abort(failures: tuple[AttemptFailure, ...]) -> Abort:
    reported = min(reversed(failures), key=lambda failure: _BY_RELEVANCE.index(failure.kind))
    return Abort(reported.kind, reported.detail)


def too_slow(
    received: int, remaining: int | None, elapsed: float, policy: DownloadPolicy
) -> str | None:
    """Return why a link is too slow overall to stay with, or ``None``.

    Without this, a host slightly above the minimum rate could hold a download slot for days.

    Args:
        received: bytes received from this link.
        remaining: bytes still missing; ``None`` if the link announced no size.
        elapsed: seconds since its response began.
        policy: provides the minimum rate and the timeout.
    """
    limit = _MAX_LINK_TIME * policy.timeout
    if elapsed >= limit:
        return f"not complete after {limit:g} s"
    if remaining is None:
        rate = _RATE_FACTOR_WITHOUT_SIZE * policy.min_rate
        if elapsed >= _MIN_TIME_WITHOUT_SIZE * policy.timeout and received < rate * elapsed:
            return f"no size announced, and under {rate:g} bytes/s (4 times min_rate)"
        return None
    known = elapsed >= _MIN_TIME_TO_EXTRAPOLATE * policy.timeout
    if known and remaining * elapsed > limit * received:
        return f"at this rate it would take over {limit:g} s"
    return None


# The file is not there yet, or the host cannot send it just now.
_NOT_NOW = frozenset({202, 204, 205, 408, 409, 421, 423, 425, 429})


def judge_status(status: int) -> FailureKind | None:
    """Return the failure that a download's HTTP status means; ``None``: read its body."""
    if status in (200, 206):
        return None
    if status in _NOT_NOW or status >= 500:
        return FailureKind.BUSY
    if status in (401, 403, 404, 410, 451):
        return FailureKind.GONE
    return FailureKind.WRONG


def integrity_of(
    sound: Judged, ending: Ending, *, confirmed: bool = False
) -> Integrity | AttemptFailure:
    """Return the evidence that a finished transfer is complete, or why it must not be published.

    Args:
        sound: the result of examining the bytes.
        ending: how the transfer signalled its end.
        confirmed: whether an earlier transfer that ended properly gave the same bytes.
    """
    found = _judge_evidence(sound, ending, confirmed)
    if sound.mended and isinstance(found, Integrity) and found is not Integrity.SOURCE_SHORT:
        return Integrity.MENDED
    return found


def _judge_evidence(sound: Judged, ending: Ending, confirmed: bool) -> Integrity | AttemptFailure:
    announced = ending is Ending.ANNOUNCED
    if sound.completeness is Completeness.SHORT:
        if announced and confirmed:
            return Integrity.SOURCE_SHORT
        return AttemptFailure(FailureKind.CUT, "the file is shorter than its header says")
    if sound.completeness is Completeness.EXACT:
        if announced:
            return Integrity.EXACT
        return Integrity.RIFF if sound.extension == ".wav" else Integrity.STRUCTURE
    if announced:
        unjudged = sound.completeness is Completeness.UNJUDGED
        return Integrity.ANNOUNCED if unjudged else Integrity.LENGTH
    if confirmed and can_be_repeated(sound, ending):
        return Integrity.REPEATED
    return AttemptFailure(FailureKind.CUT, "nothing says whether the file is whole")


def can_be_repeated(sound: Judged, ending: Ending) -> bool:
    """Return whether a second transfer of the same bytes would be sufficient evidence.

    A closed connection proves nothing: whatever cut it may cut it at the same byte again. If the
    data ends with a complete frame, that is as improbable as with an explicit end mark.
    """
    return ending is not Ending.CLOSED or sound.completeness is Completeness.UNKNOWN
