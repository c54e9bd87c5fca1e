"""One span per job, from its submit to its end, with a child span per attempt and per download."""

from __future__ import annotations

import json

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from modelslab_async import EventKind, JobEvent

from . import _instruments as measured
from ._jobs import Recent, Tracked, error_type, key_of, outcome_of, tracked_of

TRACK_ID = "modelslab.track_id"
POLLS = "modelslab.polls"
SIZE = "modelslab.file.size"
ETA = "modelslab.eta"


class Spans:
    """An observer that makes spans.

    A span of a job ends with the job: its files are downloaded later, perhaps by another process,
    in spans that are its children.

    Args:
        tracer: makes the spans.
        capture_prompts: record the prompt, and the server's words, which may repeat it.
    """

    def __init__(self, tracer: Tracer, *, capture_prompts: bool) -> None:
        self._tracer = tracer
        self._prompts = capture_prompts
        self._jobs: Recent[tuple[Span, Tracked]] = Recent()
        self._submits: Recent[Span] = Recent()
        self._ended: Recent[Context] = Recent()
        self._downloads: Recent[Span] = Recent()

    def __call__(self, event: JobEvent) -> None:
        key = key_of(event)
        match event.kind:
            case EventKind.SUBMITTING:
                self._submitting(event)
            case EventKind.WAITING if key in self._submits:  # refused for now; it is sent again
                self._end_submit(key, event)
            case EventKind.ACCEPTED:
                span, _ = self._job(event)
                span.set_attribute(measured.RESPONSE_ID, event.job_id)
                if event.seconds is not None:
                    span.set_attribute(ETA, event.seconds)
                self._end_submit(key, event)
            case EventKind.POLLED:
                _, job = self._job(event)
                job.polls += 1
            case EventKind.FINISHED | EventKind.FAILED:
                self._end(event)
            case EventKind.REJECTED | EventKind.AMBIGUOUS if key in self._jobs:
                self._end_submit(key, event)
                self._end(event)
            case EventKind.DOWNLOADING:
                self._downloading(event)
            case EventKind.SAVED | EventKind.NOT_SAVED:
                self._downloaded(event)

    def close(self) -> None:
        """End the spans that are open; their jobs may go on."""
        for span in (*self._submits.values(), *self._downloads.values()):
            span.end()
        for span, _ in self._jobs.values():
            span.end()

    def _submitting(self, event: JobEvent) -> None:
        span, _ = self._job(event)
        if self._prompts and event.request is not None:
            span.set_attribute(measured.INPUT, _messages(event))
        self._submits[key_of(event)] = self._tracer.start_span(
            "submit", trace.set_span_in_context(span), SpanKind.INTERNAL
        )

    def _job(self, event: JobEvent) -> tuple[Span, Tracked]:
        key = key_of(event)
        if key not in self._jobs:
            job = tracked_of(event.request, 0.0)
            attributes: dict[str, str] = dict(job.labels)
            if event.track_id is not None:
                attributes[TRACK_ID] = str(event.track_id)
            if event.job_id:
                attributes[measured.RESPONSE_ID] = event.job_id
            name = f"{job.operation} {job.endpoint}"
            span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
            self._jobs[key] = (span, job)
        return self._jobs[key]

    def _end_submit(self, key: str, event: JobEvent) -> None:
        span = self._submits.pop(key, None)
        if span is not None:
            self._note_error(span, event)
            span.end()

    def _end(self, event: JobEvent) -> None:
        span, job = self._job(event)
        del self._jobs[key_of(event)]
        span.set_attributes({measured.OUTCOME: outcome_of(event), POLLS: job.polls})
        self._note_error(span, event)
        span.end()
        if event.job_id:
            self._ended[event.job_id] = trace.set_span_in_context(span)

    def _downloading(self, event: JobEvent) -> None:
        key = f"{event.job_id} {event.file}"
        if key not in self._downloads:  # another attempt is the same download
            self._downloads[key] = self._tracer.start_span(
                "download", self._ended.get(event.job_id), SpanKind.CLIENT
            )

    def _downloaded(self, event: JobEvent) -> None:
        span = self._downloads.pop(f"{event.job_id} {event.file}", None)
        if span is None:
            return
        span.set_attribute(measured.OUTCOME, event.kind.value)
        if event.size is not None:
            span.set_attribute(SIZE, event.size)
        self._note_error(span, event)
        span.end()

    def _note_error(self, span: Span, event: JobEvent) -> None:
        if not event.error:
            return
        span.set_attribute(measured.ERROR, error_type(event.error))
        words = event.reason if self._prompts else None
        span.set_status(Status(StatusCode.ERROR, words or None))


def _messages(event: JobEvent) -> str:
    """The prompt in the shape of the conventions: JSON text, as span attributes hold no objects."""
    prompt = getattr(event.request, "prompt", None) or ""
    return json.dumps([{"role": "user", "parts": [{"type": "text", "content": str(prompt)}]}])
