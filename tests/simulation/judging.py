"""What a worker does with one run. Workers import it: they cannot find what is in `__main__`."""

from __future__ import annotations

import logging
import traceback

from .oracles import findings
from .scripts import script_named
from .world import simulate


def judged(task: tuple[str, int]) -> tuple[str, int, list[str], str]:
    """Run one script by one seed: what is wrong with it, and the trace of the run."""
    name, seed = task
    try:
        outcome = simulate(script_named(name, seed), seed)
    except Exception:  # noqa: BLE001  a run that breaks down is a finding, too
        return name, seed, [traceback.format_exc()], ""
    return name, seed, findings(outcome), outcome.trace


def quiet() -> None:
    """What the product warns of is what it is made to meet here."""
    logging.getLogger("modelslab_async").addHandler(logging.NullHandler())
