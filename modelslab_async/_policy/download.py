"""Decide where to get a file from next, and whether what arrived may be published.

Nothing here waits, opens a file or a socket.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from attrs import evolve, field, frozen

from .._protocol.output import Judged
from .._protocol.retry_after import longer
from .._protocol.sound import Completeness
from .validators import at_least

_MAX_ROUND_WAIT = 15.0
_WRONG_ROUNDS = 3

# A link's whole time, in units of `DownloadPolicy.timeout`: 30 s by default.
_LONGEST = 240
_KNOWN_AFTER = 2
_UNANNOUNCED = 10
_FAIR = 4


@frozen(kw_only=True)
class DownloadPolicy:
    """How hard to try for a file.

    Attributes:
        patience: seconds without a new byte after which a file is given up. Links of a finished
            job answer 404 for a while (CDN lag), sometimes for minutes.
        first_wait: seconds after the first round over all links; doubles up to 15.
        timeout: seconds for connecting and the head of an answer, and then for more of its body.
        min_rate: bytes per second; a link that is slower for ``timeout`` is abandoned for the
            next. So is one that would take over 240 times ``timeout`` (two hours) for the whole
            file, or that announces no size and is under four times this rate for ten times
            ``timeout``: no host holds a slot for ever.
        max_bytes: a larger file is refused.
    """

    patience: float = field(default=120.0, validator=at_least(0))
    first_wait: float = field(default=0.5, validator=at_least(0, more=True))
    timeout: float = field(default=30.0, validator=at_least(0, more=True))
    min_rate: float = field(default=1024.0, validator=at_least(0))
    max_bytes: int = field(default=512 * 1024 * 1024, validator=at_least(0, more=True))


class Integrity(enum.StrEnum):
    """What vouches for a published file being whole."""

    EXACT = "exact"
    """The file's own sizes or counts and the length that the server announced both agree."""
    LENGTH = "length"
    """The announced length; the format, or its streaming header, says nothing."""
    RIFF = "riff"
    """The sizes in a WAV file's own header; the server announced no length."""
    STRUCTURE = "structure"
    """The same for other formats: all frames that the file counts are there, and whole."""
    REPEATED = "repeated"
    """Two transfers that ended properly gave the same bytes; nothing names a length."""
    MENDED = "mended"
    """Any of these, and the header was written anew, so that other programs read the file."""
    SOURCE_SHORT = "source_short"
    """Two whole transfers gave the same bytes, and they end before the header says so."""
    ANNOUNCED = "announced"
    """The announced length alone: what these bytes are cannot be judged here."""


class Ending(enum.Enum):
    """How a transfer that ended by itself showed that it had ended."""

    ANNOUNCED = "a length was announced, and so many bytes came"
    MARKED = "the last chunk, or the end of a compressed stream, says that all has come"
    CLOSED = "the connection was closed"


class FailureKind(enum.Enum):
    """Why one try at one link gave no file."""

    NETWORK = "the connection failed"
    SLOW = "the file comes too slowly"
    CUT = "the file stopped early"
    BUSY = "the host is busy"
    GONE = "the link is dead"
    WRONG = "it is not what was asked for"
    REFUSED = "the link may not be used"
    ADDRESS = "its address may not be connected to"


@frozen
class AttemptFailure:
    """One try that failed.

    Attributes:
        trouble: its kind.
        detail: in words of ours.
        progressed: whether it brought bytes that the next try can build on.
        retry_after: seconds that the host asked for.
        fingerprint: sha256 of a transfer that ended properly and proved too little by itself; a
            second one of the same bytes may prove more.
    """

    trouble: FailureKind
    detail: str = ""
    progressed: bool = False
    retry_after: float | None = None
    fingerprint: str | None = None


@frozen
class Transfer:
    """How far one file's tries have come."""

    links: int
    last_progress: float
    link: int = 0
    rounds: int = 0
    wait: float | None = None
    refreshed: bool = False
    seen: tuple[AttemptFailure, ...] = ()


@frozen
class Get:
    """Try this link after ``delay`` seconds, from the byte where the part file ends."""

    link: int
    delay: float


@frozen
class Refresh:
    """All links are dead: ask the API for new ones, once."""


@frozen
class Abort:
    """No link leads to the file; the trouble that says most."""

    trouble: FailureKind
    detail: str


Step: TypeAlias = Get | Refresh | Abort


def next_step(
    transfer: Transfer, setback: AttemptFailure, now: float, policy: DownloadPolicy
) -> tuple[Transfer, Step]:
    """What to do after a try that failed."""
    if setback.progressed:
        again = evolve(transfer, last_progress=now, rounds=0, wait=None, seen=())
        return again, Get(transfer.link, 0.0)
    tried = evolve(
        transfer,
        link=(transfer.link + 1) % transfer.links,
        wait=longer(transfer.wait, setback.retry_after),
        seen=(*transfer.seen, setback)[-16:],
    )
    if tried.link:
        return tried, Get(tried.link, 0.0)
    return _next_round(evolve(tried, rounds=transfer.rounds + 1), now, policy)


_FINAL = frozenset({FailureKind.REFUSED, FailureKind.ADDRESS, FailureKind.WRONG})


def _next_round(transfer: Transfer, now: float, policy: DownloadPolicy) -> tuple[Transfer, Step]:
    kinds = {setback.trouble for setback in transfer.seen}
    refused = kinds <= {FailureKind.REFUSED, FailureKind.ADDRESS}
    hopeless = kinds <= _FINAL and transfer.rounds >= _WRONG_ROUNDS
    left = transfer.last_progress + policy.patience - now
    # No file is called lost before the API was asked where it is.
    stale = FailureKind.GONE in kinds and (transfer.rounds >= 2 or left <= 0)
    if stale and not transfer.refreshed:
        return evolve(transfer, refreshed=True), Refresh()
    if refused or hopeless or left <= 0:
        return transfer, _give_up(transfer.seen)
    wait = min(_MAX_ROUND_WAIT, policy.first_wait * 2.0 ** min(transfer.rounds - 1, 10))
    # A host that asks for a year is tried once more when our patience ends.
    return evolve(transfer, wait=None), Get(0, min(left, max(wait, transfer.wait or 0.0)))


_MOST_TELLING = (
    FailureKind.ADDRESS,  # the only one that a setting of the caller's ends
    FailureKind.CUT,
    FailureKind.WRONG,
    FailureKind.SLOW,
    FailureKind.BUSY,
    FailureKind.NETWORK,
    FailureKind.GONE,  # said of a file alone that no link leads to
    FailureKind.REFUSED,
)


def _give_up(seen: tuple[AttemptFailure, ...]) -> Abort:
    worst = min(reversed(seen), key=lambda setback: _MOST_TELLING.index(setback.trouble))
    return Abort(worst.trouble, worst.detail)


def too_slow(received: int, left: int | None, elapsed: float, policy: DownloadPolicy) -> str | None:
    """Why a link takes too long as a whole to stay with it, or ``None``.

    A host that gives a little more than the minimum rate would hold its slot for days.

    Args:
        received: bytes that this link gave.
        left: bytes that are to come, if the link announced a size.
        elapsed: seconds since its answer began.
        policy: with the minimum rate.
    """
    longest = _LONGEST * policy.timeout
    if elapsed >= longest:
        return f"not complete after {longest:g} s"
    if left is None:
        fair = _FAIR * policy.min_rate
        if elapsed >= _UNANNOUNCED * policy.timeout and received < fair * elapsed:
            return f"no size announced, and under {fair:g} bytes/s (4 times min_rate)"
        return None
    if elapsed >= _KNOWN_AFTER * policy.timeout and left * elapsed > longest * received:
        return f"at this rate it would take over {longest:g} s"
    return None


def judge_status(status: int, *, resuming: bool) -> FailureKind | None:
    """What the status of a download means; ``None``: its body may be read."""
    if status == 200 or (status == 206 and resuming):
        return None
    if status in (408, 425, 429) or status >= 500:
        return FailureKind.BUSY
    if status in (401, 403, 404, 410, 451):
        return FailureKind.GONE
    return FailureKind.WRONG


def integrity_of(
    sound: Judged, ending: Ending, *, confirmed: bool = False
) -> Integrity | AttemptFailure:
    """What vouches for a transfer that ended by itself, or why it may not be published.

    Args:
        sound: what the bytes are.
        ending: what showed that the transfer had ended.
        confirmed: an earlier transfer that ended properly gave the same bytes.
    """
    found = _vouching(sound, ending, confirmed)
    if sound.mended and isinstance(found, Integrity) and found is not Integrity.SOURCE_SHORT:
        return Integrity.MENDED
    return found


def _vouching(sound: Judged, ending: Ending, confirmed: bool) -> Integrity | AttemptFailure:
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
    """Whether a second transfer of the same bytes proves more than this one.

    A connection that closes shows nothing: what cuts it may cut it there again. Whole frames up to
    that end make it as improbable as a mark does.
    """
    return ending is not Ending.CLOSED or sound.completeness is Completeness.UNKNOWN
