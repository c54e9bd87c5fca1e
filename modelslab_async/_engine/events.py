"""Tell one observer what happens to jobs, as it happens, and write the same to the log."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable

from attrs import frozen

_log = logging.getLogger("modelslab_async.events")


class EventKind(enum.StrEnum):
    """What happened."""

    WAITING = "waiting"
    """Nothing moves for a while; `JobEvent.reason` says why, `JobEvent.seconds` for how long."""
    SUBMITTING = "submitting"
    """The paid request leaves now."""
    ACCEPTED = "accepted"
    """The API has accepted it, and given an id; `JobEvent.seconds` is its eta."""
    POLLED = "polled"
    """The API was asked about the job, which is not finished yet."""
    FINISHED = "finished"
    """The generation is finished, and out of the queue."""
    FAILED = "failed"
    """The job failed, or is no longer asked about; `JobEvent.reason` says why."""
    DOWNLOADING = "downloading"
    """A try to download its file begins."""
    SAVED = "saved"
    """The file is on disk, complete, under its final name."""


@frozen(kw_only=True)
class JobEvent:
    """One step of one job.

    Attributes:
        kind: what happened.
        track_id: as it was sent; ``None`` where only the job's id is known.
        job_id: the server's id; empty before there is one.
        reason: why it waits, or failed; printable text, empty where there is nothing to say.
        seconds: until the next try, or the server's estimate; ``None``: unknown.
    """

    kind: EventKind
    track_id: int | str | None = None
    job_id: str = ""
    reason: str = ""
    seconds: float | None = None

    def __str__(self) -> str:
        subject = f"job {self.job_id}" if self.job_id else f"submit of {self.track_id}"
        reason = f": {self.reason}" if self.reason else ""
        seconds = "" if self.seconds is None else f" ({self.seconds:.0f} s)"
        return f"{subject} {self.kind}{reason}{seconds}"


Observer = Callable[[JobEvent], None]
"""Is called on the client's event loop, so it must return at once."""


class Events:
    """Where all parts of a client report what they do."""

    def __init__(self, observer: Observer | None) -> None:
        self._observer = observer

    def emit(self, event: JobEvent) -> None:
        """Log the event, and pass it to the observer, whose errors cost no job."""
        level = logging.DEBUG if event.kind is EventKind.POLLED else logging.INFO
        if _log.isEnabledFor(level):
            known = {"job_id": event.job_id, "track_id": event.track_id}
            _log.log(level, "%s", event, extra=known)
        if self._observer is None:
            return
        try:
            self._observer(event)
        except Exception:  # noqa: BLE001  a broken display must not cost a file that is paid for
            _log.exception("the observer raised; it is not called again")
            self._observer = None
