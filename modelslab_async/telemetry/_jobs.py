"""Follow each job through the events of its client, and measure it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from attrs import define, field

from modelslab_async import EventKind, JobEvent, Request, errors

from . import _instruments as measured
from ._instruments import Labels, Recorder

T = TypeVar("T")
_MOST = 10_000
"""Jobs remembered at once; the oldest are forgotten, so that no stream of jobs fills the memory."""

_UNKNOWN = "unknown"
_OTHER = "_OTHER"
_CANCELLED = "CancelledError"
_NAMES: Final = frozenset(
    name for name, thing in vars(errors).items() if isinstance(thing, type)
) | {_CANCELLED}


def error_type(name: str) -> str:
    """An error's name as a label: one of ours, or ``_OTHER``, as the conventions say."""
    return name if name in _NAMES else _OTHER


class Recent(OrderedDict[str, T], Generic[T]):
    """The last few thousand values by their keys."""

    def __setitem__(self, key: str, value: T) -> None:
        super().__setitem__(key, value)
        while len(self) > _MOST:
            self.popitem(last=False)


@define(eq=False)
class Tracked:
    """A job from its submit to its end.

    Attributes:
        endpoint: the name of its endpoint; of a resumed job it is unknown.
        operation: what it makes.
        started: when its request was sent, on the monotonic clock; ``None`` for a resumed job.
        polls: that found it unfinished.
    """

    endpoint: str = _UNKNOWN
    operation: str = _UNKNOWN
    started: float | None = None
    polls: int = 0
    running: bool = field(default=False)

    @property
    def labels(self) -> Labels:
        """What all measurements of the job have in common."""
        return (
            (measured.OPERATION, self.operation),
            (measured.PROVIDER, measured.MODELSLAB),
            (measured.MODEL, self.endpoint),
        )


def tracked_of(request: Request | None, now: float) -> Tracked:
    """A job whose request is sent now."""
    if request is None:
        return Tracked(started=now)
    return Tracked(request.NAME, f"{request.GIVES}_generation", now)


class JobMeasures:
    """An observer that measures jobs and files.

    Args:
        recorder: takes the measurements.
        clock: seconds.
    """

    def __init__(self, recorder: Recorder, clock: Callable[[], float] = time.monotonic) -> None:
        self._record = recorder.record
        self._clock = clock
        self._open: Recent[Tracked] = Recent()
        self._ended: Recent[Tracked] = Recent()

    def __call__(self, event: JobEvent) -> None:
        match event.kind:
            case EventKind.SUBMITTING:
                job = self._open.get(key_of(event)) or tracked_of(event.request, self._clock())
                self._open[key_of(event)] = job
                self._record(measured.SUBMITS, 1, job.labels)
            case EventKind.ACCEPTED:
                job = self._job(event)
                job.running = True
                self._record(measured.RUNNING, 1, job.labels)
            case EventKind.POLLED:
                job = self._job(event)
                job.polls += 1
                self._record(measured.POLLS, 1, job.labels)
            case EventKind.FINISHED | EventKind.FAILED:
                self._end(event)
            case EventKind.REJECTED | EventKind.AMBIGUOUS if key_of(event) in self._open:
                self._end(event)
            case EventKind.SAVED | EventKind.NOT_SAVED:
                self._file(event)

    def _job(self, event: JobEvent) -> Tracked:
        """The job of an event; a resumed one begins with the first event about it."""
        return self._open.setdefault(key_of(event), Tracked())

    def _end(self, event: JobEvent) -> None:
        job = self._job(event)
        del self._open[key_of(event)]
        self._ended[event.job_id] = job
        if job.running:
            self._record(measured.RUNNING, -1, job.labels)
        error = error_labels(event)
        self._record(measured.JOBS, 1, (*job.labels, (measured.OUTCOME, outcome_of(event)), *error))
        if job.started is not None:
            seconds = self._clock() - job.started
            self._record(measured.DURATION, seconds, (*job.labels, *error))

    def _file(self, event: JobEvent) -> None:
        job = self._ended.get(event.job_id) or Tracked()
        outcome = (measured.OUTCOME, event.kind.value)
        self._record(measured.FILES, 1, (*job.labels, outcome, *error_labels(event)))
        if event.size:
            self._record(measured.BYTES, event.size, job.labels)


def key_of(event: JobEvent) -> str:
    """What identifies a job from its submit on."""
    return f"job {event.job_id}" if event.track_id is None else f"track {event.track_id}"


def outcome_of(event: JobEvent) -> str:
    """How a job has ended. A job that the client stopped polling may still run."""
    match event.kind:
        case EventKind.FINISHED:
            return "succeeded"
        case EventKind.FAILED:
            return "failed" if event.error == errors.JobFailed.__name__ else "detached"
    return event.kind.value


def error_labels(event: JobEvent) -> Labels:
    """The label that tells what went wrong, if anything did."""
    return ((measured.ERROR, error_type(event.error)),) if event.error else ()
