"""Count in memory, and print the counts as Prometheus reads them."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from modelslab_async import JobEvent

from ._instruments import ALL, SECONDS, Instrument, Kind, Labels
from ._jobs import JobMeasures

_UNITS = {"s": "seconds", "By": "bytes"}


class _Counts:
    """All counts so far. Threads other than the event loop's may read them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[Instrument, Labels], float] = {}
        self._buckets: dict[tuple[Instrument, Labels], list[int]] = {}

    def record(self, instrument: Instrument, value: float, labels: Labels) -> None:
        key = (instrument, labels)
        with self._lock:
            self._values[key] = self._values.get(key, 0) + value
            if instrument.kind is Kind.HISTOGRAM:
                buckets = self._buckets.setdefault(key, [0] * (len(SECONDS) + 1))
                buckets[bisect_left(SECONDS, value)] += 1

    def lines(self) -> Iterator[str]:
        with self._lock:
            values = sorted(self._values.items(), key=lambda one: one[0][1])
            buckets = {key: list(counts) for key, counts in self._buckets.items()}
        for instrument in ALL:
            name = prometheus_name(instrument)
            yield f"# HELP {name} {instrument.help}"
            yield f"# TYPE {name} {instrument.kind}"
            for key, value in values:
                if key[0] is instrument:
                    yield from _samples(name, key[1], value, buckets.get(key))


class Metrics:
    """Counts jobs, files and seconds in memory; needs no other library.

    ```python
    metrics = Metrics()
    client.observe(metrics)
    print(metrics.prometheus())
    ```

    One object may observe several clients on one event loop.
    """

    def __init__(self) -> None:
        self._counts = _Counts()
        self._measures = JobMeasures(self._counts)

    def __call__(self, event: JobEvent) -> None:
        """Count one event."""
        self._measures(event)

    def prometheus(self) -> str:
        """Return all counts in the Prometheus text format, version 0.0.4; works in any thread.

        Serve it as ``text/plain; version=0.0.4``. Counters begin at 0 when this object is made.
        """
        return "\n".join(self._counts.lines()) + "\n"


def prometheus_name(instrument: Instrument) -> str:
    """The name as OpenTelemetry's exporters for Prometheus derive it."""
    name = instrument.name.replace(".", "_")
    if unit := _UNITS.get(instrument.unit):
        name = f"{name}_{unit}"
    return f"{name}_total" if instrument.kind is Kind.COUNTER else name


def _samples(name: str, labels: Labels, value: float, counts: list[int] | None) -> Iterator[str]:
    if counts is None:
        yield f"{name}{_shown(labels)} {value:.15g}"
        return
    *totals, total = accumulate(counts)
    for bound, below in zip(SECONDS, totals, strict=True):
        yield f"{name}_bucket{_shown((*labels, ('le', f'{bound:g}')))} {below}"
    yield f"{name}_bucket{_shown((*labels, ('le', '+Inf')))} {total}"
    yield f"{name}_sum{_shown(labels)} {value:.15g}"
    yield f"{name}_count{_shown(labels)} {total}"


def _shown(labels: Labels) -> str:
    pairs = (f'{name.replace(".", "_")}="{_escaped(value)}"' for name, value in labels)
    return f"{{{','.join(pairs)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
