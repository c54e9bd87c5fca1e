"""How scripts strike at submits: what goes wrong with one of them, and where its row ends."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from modelslab_async.sandbox import Fault

from .expecting import Check, known_in_time, one_went, struck, wants
from .network import Mishap
from .world import CALM, Script

FOUND = "IASRD"
UNKNOWN = "IA"
_SHORT = 60.0  # a storm after which a row that stays unknown has been looked for twice


def spoilt(name: str, *faults: Fault, check: Check, **more: Any) -> Script:
    """The server does something else with submits than it should."""
    scenario = evolve(more.pop("scenario", CALM), faults=faults)
    settings = {"jobs": 2, "storm": _SHORT, **more}
    return Script(
        id=name, scenario=scenario, expects=wants(struck, known_in_time, check), **settings
    )


def lost(name: str, kind: Any, *, accepted: bool = True, **more: Any) -> Script:
    """The answer to one submit is spoilt: its job is found, or it stays unknown."""
    settings = {name: more.pop(name) for name in ("storm", "mishaps", "jobs") if name in more}
    fault = Fault(on="submit", kind=kind, accepted=accepted, **more)
    way = FOUND if accepted else UNKNOWN
    return spoilt(name, fault, check=one_went(way), **settings)


def cut_off(name: str, *mishaps: Mishap, check: Check, **more: Any) -> Script:
    """A connection breaks."""
    settings = {"jobs": 3, "storm": _SHORT, "mishaps": mishaps, **more}
    return Script(id=name, expects=wants(struck, check), scenario=CALM, **settings)
