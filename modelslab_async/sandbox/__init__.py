"""The ModelsLab music API on this machine, to test against without a network, a key or a bill.

Nothing here imports the rest of the package.
"""

from __future__ import annotations

from ._account import AccountBook, Delivery, Job, RequestRecord
from ._fault import Fault
from ._loading import ScenarioError, load_scenario
from ._presets import SCENARIOS
from ._scenario import Scenario
from ._server import HEADER, Sandbox

__all__ = [
    "HEADER",
    "SCENARIOS",
    "AccountBook",
    "Delivery",
    "Fault",
    "Job",
    "RequestRecord",
    "Sandbox",
    "Scenario",
    "ScenarioError",
    "load_scenario",
]
