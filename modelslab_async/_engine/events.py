"""Report each step of each job to the observers and to the log."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from ..endpoints.base import Request

_log = logging.getLogger("modelslab_async.events")


class EventKind(enum.StrEnum):
    """What happened."""

    WAITING = "waiting"
    """The client waits; `JobEvent.reason` says why, `JobEvent.seconds` for how long."""
    SUBMITTING = "submitting"
    """The client sends the paid request now."""
    ACCEPTED = "accepted"
    """The API has accepted the job; `JobEvent.seconds` is its ETA."""
    REJECTED = "rejected"
    """The submit has ended without a job; nothing was paid. `JobEvent.error` says why."""
    AMBIGUOUS = "ambiguous"
    """The submit has ended without a readable response: a job may exist."""
    POLLED = "polled"
    """A poll found the job unfinished."""
    FINISHED = "finished"
    """The job has succeeded and left the queue."""
    FAILED = "failed"
    """The job failed, or the client stopped polling it; `JobEvent.reason` says why."""
    DOWNLOADING = "downloading"
    """An attempt to download its file begins."""
    SAVED = "saved"
    """The file is on disk, complete, under its final name; `JobEvent.size` is its size."""
    NOT_SAVED = "not_saved"
    """The download has ended without a file; downloading again is free."""


@frozen(kw_only=True)
class JobEvent:
    """One step of one job.

    Attributes:
        kind: what happened.
        track_id: as it was sent; ``None`` if only the job's id is known.
        job_id: the server's id; empty before the API has assigned one.
        reason: why the job waits or failed, as printable text; may be empty.
        seconds: until the next attempt, or the server's estimate; ``None``: unknown.
        error: the name of the error's class, if this step ends something; else empty.
        request: the request that is sent, prompt included; for `EventKind.SUBMITTING` only.
        file: of a download: the file's index among the job's files, from 0.
        size: of a saved file, in bytes.
    """

    kind: EventKind
    track_id: int | str | None = None
    job_id: str = ""
    reason: str = ""
    seconds: float | None = None
    error: str = ""
    request: Request | None = field(default=None, repr=False)
    file: int | None = None
    size: int | None = None

    def __str__(self) -> str:
        subject = f"job {self.job_id}" if self.job_id else f"submit of {self.track_id}"
        reason = f": {self.reason or self.error}" if self.reason or self.error else ""
        seconds = "" if self.seconds is None else f" ({self.seconds:.0f} s)"
        return f"{subject} {self.kind}{reason}{seconds}"


Observer = Callable[[JobEvent], None]
"""Called on the client's event loop, so it must return quickly."""


class Events:
    """Distributes the events of one client."""

    def __init__(self, observer: Observer | None) -> None:
        self._observers: tuple[Observer, ...] = () if observer is None else (observer,)

    def add(self, observer: Observer) -> Callable[[], None]:
        """Call this observer too, from the next event on; return what ends that."""
        self._observers = (*self._observers, observer)
        return lambda: self._remove(observer)

    def emit(self, event: JobEvent) -> None:
        """Log the event and pass it to the observers. An observer's error never affects a job."""
        level = logging.DEBUG if event.kind is EventKind.POLLED else logging.INFO
        if _log.isEnabledFor(level):
            known = {"job_id": event.job_id, "track_id": event.track_id, "event": event.kind.value}
            _log.log(level, "%s", event, extra=known)
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001  a broken display must not cost a file that is paid for
                _log.exception("the observer raised; it is not called again")
                self._remove(observer)

    def _remove(self, observer: Observer) -> None:
        self._observers = tuple(one for one in self._observers if one is not observer)
