"""A local ModelsLab music API for tests, without a network, an API key or costs.

This package does not import the rest of ``modelslab_async``.
"""

from __future__ import annotations

from ._account import AccountBook, Delivery, Job, RequestRecord
from ._account_file import AccountFileError
from ._fault import Fault
from ._loading import ScenarioError, load_scenario
from ._presets import SCENARIOS
from ._replay import RecordingError
from ._scenario import Scenario
from ._server import HEADER, Sandbox

__all__ = [
    "HEADER",
    "SCENARIOS",
    "AccountBook",
    "AccountFileError",
    "Delivery",
    "Fault",
    "Job",
    "RecordingError",
    "RequestRecord",
    "Sandbox",
    "Scenario",
    "ScenarioError",
    "load_scenario",
]
