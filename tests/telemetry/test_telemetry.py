"""Spans and metrics tell what became of each job, and nothing that is secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as conventions
from opentelemetry.semconv.attributes import error_attributes

from modelslab_async import EventKind, JobEvent, ModelsLab, ModelsLabError, MusicGen, SpeechToText
from modelslab_async.sandbox import Fault, Sandbox, Scenario
from modelslab_async.telemetry import Metrics, _instruments, instrument
from modelslab_async.telemetry._jobs import _MOST, JobMeasures

from ..support.batches import quick
from ..support.quick import SOON_GIVEN_UP, client_of

pytestmark = pytest.mark.anyio
CANARY = "sk-canary-0123456789abcdefghijkl"
PROMPT = "a prompt that nobody else may read"


_INVALID = Fault(
    on="submit",
    kind="answer",
    accepted=False,
    status=401,
    body='{"status": "error", "message": "Invalid API key"}',
)


class Observed:
    """The telemetry of one application, as its exporters get it."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers, self.meters = TracerProvider(), MeterProvider([self.reader])
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.metrics = Metrics()

    def watch(self, client: ModelsLab, **settings: Any) -> None:
        client.observe(self.metrics)
        instrument(client, tracer_provider=self.tracers, meter_provider=self.meters, **settings)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def job(self) -> dict[str, Any]:
        """The attributes of the only span of a job."""
        (found,) = [span for span in self.spans if " " in span.name]
        return dict(found.attributes or {})

    def everything(self) -> str:
        data = self.reader.get_metrics_data()
        shown = [span.to_json() for span in self.spans]
        return "\n".join([*shown, data.to_json() if data else "", self.metrics.prometheus()])

    def totals(self) -> dict[str, float]:
        """The sum of each counter and the count of each histogram, over all labels."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: sum(
                getattr(p, "value", getattr(p, "count", 0)) for p in metric.data.data_points
            )
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def observed() -> Iterator[Observed]:
    made = Observed()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


async def made(
    observed: Observed, scenario: Scenario, to: Path, prompt: str = "waltz", **settings: Any
) -> None:
    """One track, or the attempt to make one."""
    async with Sandbox(scenario, key=CANARY) as box:
        client = client_of(box, download=SOON_GIVEN_UP, timeout=0.3)
        observed.watch(client, **settings)
        async with client:
            with suppress(ModelsLabError):
                await client.generate(prompt, to=to / "waltz.wav")


async def test_a_job_is_a_span_with_its_attempts_and_its_download_below_it(
    observed: Observed, tmp_path: Path
) -> None:
    with observed.tracers.get_tracer("app").start_as_current_span("order"):
        await made(observed, quick(taken_slots=5, taken_seconds=0.1, retry_after=0.1), tmp_path)
    spans = {span.name: span for span in observed.spans}
    job = spans["audio_generation music_gen"]
    assert [span.name for span in observed.spans].count("submit") == 2
    assert job.parent == spans["order"].context
    for name in ("submit", "download"):
        assert spans[name].parent == job.context
    attributes = observed.job()
    assert attributes[conventions.GEN_AI_OPERATION_NAME] == "audio_generation"
    assert attributes[conventions.GEN_AI_PROVIDER_NAME] == "modelslab"
    assert attributes[conventions.GEN_AI_REQUEST_MODEL] == "music_gen"
    assert attributes[conventions.GEN_AI_RESPONSE_ID]
    assert attributes["modelslab.outcome"] == "succeeded"
    totals = observed.totals()
    assert totals["modelslab.client.submits"] == 2
    assert totals["modelslab.client.jobs"] == totals["modelslab.client.files"] == 1
    assert totals["modelslab.client.jobs.running"] == 0
    assert totals["modelslab.client.files.size"] == (tmp_path / "waltz.wav").stat().st_size
    assert totals["gen_ai.client.inference.duration"] == 1


@pytest.mark.parametrize(
    ("scenario", "outcome", "error"),
    [
        (quick(failure_probability=1), "failed", "JobFailed"),
        (quick(Fault(on="submit", kind="reset")), "ambiguous", "SubmitUnknown"),
        (quick(_INVALID), "rejected", "AuthenticationError"),
        (Scenario(generation_seconds=60), "detached", "JobTimeout"),
    ],
)
async def test_how_a_job_ended_is_on_its_span_and_its_counter(
    scenario: Scenario, outcome: str, error: str, observed: Observed, tmp_path: Path
) -> None:
    await made(observed, scenario, tmp_path)
    attributes = observed.job()
    assert attributes["modelslab.outcome"] == outcome
    assert attributes[error_attributes.ERROR_TYPE] == error
    counted = f'modelslab_outcome="{outcome}",error_type="{error}"}} 1'
    assert counted in observed.metrics.prometheus()


async def test_a_file_that_cannot_be_saved_is_counted(observed: Observed, tmp_path: Path) -> None:
    await made(observed, quick(Fault(on="download", kind="html", times=None)), tmp_path)
    assert 'modelslab_outcome="not_saved",error_type="NotAudio"} 1' in (
        observed.metrics.prometheus()
    )
    (download,) = [span for span in observed.spans if span.name == "download"]
    assert not download.status.is_ok


async def test_nothing_secret_is_in_spans_metrics_and_logs(
    observed: Observed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server repeats the key and the prompt in all that it says."""
    caplog.set_level("INFO", "modelslab_async")
    words = f"failed: {PROMPT} for {CANARY}"
    echoing = quick(failure_probability=1, failure_message=words, echo_key=True)
    await made(observed, echoing, tmp_path, PROMPT)
    secret_url = f"https://example.com/{CANARY[::-1]}"
    request = MusicGen(PROMPT, webhook=secret_url)
    metrics = observed.metrics
    metrics(JobEvent(kind=EventKind.SUBMITTING, track_id=1, request=request))
    metrics(JobEvent(kind=EventKind.REJECTED, track_id=1, reason=words, error=f"Odd {CANARY}"))
    shown = observed.everything()
    assert "failed" in shown
    assert "_OTHER" in shown
    for secret in (CANARY, PROMPT, secret_url, str(tmp_path)):
        assert secret not in shown
    logged = "".join(str(vars(record)) + record.getMessage() for record in caplog.records)
    assert "submitting" in logged
    assert CANARY not in logged


async def test_the_prompt_is_recorded_when_asked_for(observed: Observed, tmp_path: Path) -> None:
    await made(observed, quick(), tmp_path, PROMPT, capture_prompts=True)
    (message,) = json.loads(observed.job()[conventions.GEN_AI_INPUT_MESSAGES])
    assert message == {"role": "user", "parts": [{"type": "text", "content": PROMPT}]}
    assert PROMPT not in observed.metrics.prometheus()


async def test_a_resumed_job_is_followed_without_its_request(observed: Observed) -> None:
    async with Sandbox(quick()) as box:
        async with client_of(box) as first:
            job = await first.submit("waltz")
        client = client_of(box)
        observed.watch(client)
        async with client:
            await client.job(job.id).result()
    assert observed.job()["gen_ai.request.model"] == "unknown"
    assert observed.job()[conventions.GEN_AI_RESPONSE_ID] == job.id
    assert "gen_ai.client.inference.duration" not in observed.totals()  # its start is not known


async def test_what_is_detached_sees_nothing_more(observed: Observed) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        attached = instrument(client, tracer_provider=observed.tracers)
        attached.uninstrument()
        await client.generate("waltz")
    assert not observed.spans


class Records:
    def __init__(self) -> None:
        self.labels: set[_instruments.Labels] = set()

    def record(
        self, instrument: _instruments.Instrument, value: float, labels: _instruments.Labels
    ) -> None:
        self.labels.add(labels)


async def test_neither_labels_nor_memory_grow_with_the_jobs() -> None:
    records = Records()
    measures = JobMeasures(records)
    requests = (MusicGen("waltz"), SpeechToText("https://example.com/a.wav", language="en"))
    for number in range(_MOST + 100):
        request = requests[number % 2]
        measures(JobEvent(kind=EventKind.SUBMITTING, track_id=number, request=request))
        measures(JobEvent(kind=EventKind.ACCEPTED, track_id=number, job_id=str(number)))
        if number % 3:
            ended = EventKind.FAILED if number % 2 else EventKind.FINISHED
            error = f"Error{number}" if number % 2 else ""
            measures(JobEvent(kind=ended, track_id=number, job_id=str(number), error=error))
    assert len(records.labels) < 12
    assert max(len(measures._open), len(measures._ended)) <= _MOST


async def test_the_text_is_what_prometheus_reads() -> None:
    """Each histogram ends in +Inf, and its buckets add up."""
    metrics = Metrics()
    for number, seconds in enumerate((0.1, 3, 3, 5000)):
        clock = iter((0.0, seconds))
        metrics._measures._clock = lambda clock=clock: next(clock)  # type: ignore[misc]
        metrics(JobEvent(kind=EventKind.SUBMITTING, track_id=number, request=MusicGen("waltz")))
        metrics(JobEvent(kind=EventKind.FINISHED, track_id=number, job_id=str(number)))
    text = metrics.prometheus()
    buckets = [int(line.split()[-1]) for line in text.splitlines() if "_bucket" in line]
    assert buckets == [1, 1, 1, *[3] * 9, 4]
    assert 'le="+Inf"} 4' in text
    name = "gen_ai_client_inference_duration_seconds"
    assert f"# TYPE {name} histogram" in text
    assert any(
        line.startswith(f"{name}_sum") and line.endswith(" 5006.1") for line in text.splitlines()
    )
