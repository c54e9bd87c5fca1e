"""Hand the events of a client to OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from modelslab_async import __version__

from ._instruments import ALL, SECONDS, Instrument, Kind, Labels
from ._jobs import JobMeasures

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import TracerProvider

    from modelslab_async import ModelsLab

    from ._spans import Spans

_NAME = "modelslab_async"


class Instrumentation:
    """What `instrument` has attached to a client."""

    def __init__(self, detach: tuple[Callable[[], None], ...], spans: Spans) -> None:
        self._detach = detach
        self._spans = spans

    def uninstrument(self) -> None:
        """Detach it, and end open spans. The jobs are not affected."""
        for detach in self._detach:
            detach()
        self._spans.close()


def instrument(
    client: ModelsLab,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    capture_prompts: bool = False,
) -> Instrumentation:
    """Report a client's jobs to OpenTelemetry as spans and metrics.

    Names follow the OpenTelemetry semantic conventions for generative AI, version 0.1.0 of
    ``semantic-conventions-genai`` (status: Development, so they may change). Those conventions have
    no operation for audio: ``gen_ai.operation.name`` is ``audio_generation``, or, for endpoints
    that give something else, ``text_generation`` and so on. ``gen_ai.request.model`` is the
    endpoint, such as ``music_gen``.

    Spans: ``audio_generation music_gen`` per job, from its submit to its end, with the children
    ``submit`` per attempt and ``download`` per file. Its parent is the span that is current where
    the job is submitted. Metrics: the histogram ``gen_ai.client.inference.duration``, and
    ``modelslab.client.*`` for jobs, submits, polls and files.

    Args:
        client: open or not yet open.
        tracer_provider: default: the global one.
        meter_provider: default: the global one.
        capture_prompts: record the prompt in ``gen_ai.input.messages``, and the server's reason for
            a failure, which may repeat it. Off: neither is recorded.

    Returns:
        An object that detaches it again.

    Raises:
        ModuleNotFoundError: ``opentelemetry-api`` (the extra ``otel``) is missing.
    """
    try:
        from opentelemetry import metrics, trace
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "instrument() needs opentelemetry-api: pip install 'modelslab-async[otel]'"
        ) from error
    from ._spans import Spans

    tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
    meter = metrics.get_meter(_NAME, __version__, meter_provider)
    spans = Spans(tracer, capture_prompts=capture_prompts)
    measures = JobMeasures(_MeterRecorder(meter))
    return Instrumentation((client.observe(spans), client.observe(measures)), spans)


class _MeterRecorder:
    """Records with the instruments of a meter."""

    def __init__(self, meter: Meter) -> None:
        self._record = {one: _recording(meter, one) for one in ALL}

    def record(self, instrument: Instrument, value: float, labels: Labels) -> None:
        self._record[instrument](value, dict(labels))


def _recording(meter: Meter, one: Instrument) -> Callable[[Any, Any], None]:
    match one.kind:
        case Kind.COUNTER:
            return meter.create_counter(one.name, one.unit, one.help).add
        case Kind.GAUGE:
            return meter.create_up_down_counter(one.name, one.unit, one.help).add
    return meter.create_histogram(
        one.name, one.unit, one.help, explicit_bucket_boundaries_advisory=SECONDS
    ).record
