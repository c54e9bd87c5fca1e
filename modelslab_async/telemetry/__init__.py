"""Metrics and traces of a client's jobs, from its stream of events.

Nothing here is imported unless you import it, and nothing is sent anywhere by itself: `Metrics`
counts in memory, and `instrument` hands spans and measurements to the OpenTelemetry SDK of your
application.

No span, metric or label holds the API key, a link, a path, a webhook URL or a reply's text. A
prompt is recorded only with ``instrument(..., capture_prompts=True)``. Labels have few values: the
endpoint, how a job ended, and the class of the error.
"""

from __future__ import annotations

from ._instrument import Instrumentation, instrument
from ._metrics import Metrics

__all__ = ["Instrumentation", "Metrics", "instrument"]
