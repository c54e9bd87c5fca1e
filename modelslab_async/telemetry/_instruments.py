"""What is measured: one table for OpenTelemetry and for Prometheus.

Names, units and labels are those of OpenTelemetry; Prometheus text derives its names from them. All
labels have few values, however many jobs there are.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol

from attrs import frozen

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
RESPONSE_ID: Final = "gen_ai.response.id"
INPUT: Final = "gen_ai.input.messages"
ERROR: Final = "error.type"
OUTCOME: Final = "modelslab.outcome"
"""``succeeded``, ``failed``, ``detached``, ``rejected``, ``ambiguous``; of files ``saved``,
``not_saved``."""

MODELSLAB: Final = "modelslab"
SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0)
"""Bounds of histograms: generating music takes seconds to minutes."""


class Kind(StrEnum):
    """The kinds of instruments, by their names in Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@frozen
class Instrument:
    """One measured quantity."""

    name: str
    kind: Kind
    unit: str
    help: str


SUBMITS: Final = Instrument(
    "modelslab.client.submits", Kind.COUNTER, "{request}", "Paid requests sent, retries included."
)
POLLS: Final = Instrument(
    "modelslab.client.polls", Kind.COUNTER, "{request}", "Polls that found a job unfinished."
)
JOBS: Final = Instrument(
    "modelslab.client.jobs", Kind.COUNTER, "{job}", "Jobs that have ended, by how they ended."
)
RUNNING: Final = Instrument(
    "modelslab.client.jobs.running", Kind.GAUGE, "{job}", "Accepted jobs that have not ended."
)
DURATION: Final = Instrument(
    "gen_ai.client.inference.duration",
    Kind.HISTOGRAM,
    "s",
    "Seconds from sending a request until the end of its job.",
)
FILES: Final = Instrument(
    "modelslab.client.files",
    Kind.COUNTER,
    "{file}",
    "Downloads, by how they ended.",
)
BYTES: Final = Instrument(
    "modelslab.client.files.size", Kind.COUNTER, "By", "Bytes of the files that were saved."
)
ALL: Final = (SUBMITS, POLLS, JOBS, RUNNING, DURATION, FILES, BYTES)

Labels = tuple[tuple[str, str], ...]


class Recorder(Protocol):
    """Takes measurements."""

    def record(self, instrument: Instrument, value: float, labels: Labels) -> None:
        """Add to a counter or a gauge, or note a value of a histogram."""
