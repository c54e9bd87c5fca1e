"""Report each step of each job to one observer and to the log."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable

from attrs import frozen

_log = logging.getLogger("modelslab_async.events")


class EventKind(enum.StrEnum):
    """What happened."""

    WAITING = "waiting"
    """The client waits; `JobEvent.reason` says why, `JobEvent.seconds` for how long."""
    SUBMITTING = "submitting"
    """The client sends the paid request now."""
    ACCEPTED = "accepted"
    """The API has accepted the job; `JobEvent.seconds` is its ETA."""
    POLLED = "polled"
    """A poll found the job unfinished."""
    FINISHED = "finished"
    """The job has succeeded and left the queue."""
    FAILED = "failed"
    """The job failed, or the client stopped polling it; `JobEvent.reason` says why."""
    DOWNLOADING = "downloading"
    """An attempt to download its file begins."""
    SAVED = "saved"
    """The file is on disk, complete, under its final name."""


@frozen(kw_only=True)
class JobEvent:
    """One step of one job.

    Attributes:
        kind: what happened.
        track_id: as it was sent; ``None`` if only the job's id is known.
        job_id: the server's id; empty before the API has assigned one.
        reason: why the job waits or failed, as printable text; may be empty.
        seconds: until the next attempt, or the server's estimate; ``None``: unknown.
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
"""Called on the client's event loop, so it must return quickly."""


class Events:
    """Distributes the events of one client."""

    def __init__(self, observer: Observer | None) -> None:
        self._observer = observer

    def emit(self, event: JobEvent) -> None:
        """Log the event and pass it to the observer. An observer's error never affects a job."""
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
