"""The ModelsLab music API on this machine, to test against without a network, a key or a bill.

Nothing here imports the rest of the package.
"""

from __future__ import annotations

from .account import AccountBook, Delivery, Job, RequestRecord
from .fault import Fault
from .loading import ScenarioError, load_scenario
from .named import SCENARIOS
from .scenario import Scenario
from .server import HEADER, Sandbox

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
