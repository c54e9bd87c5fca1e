"""How scripts about questions begin: every submit is accepted, once, and nobody asks too often."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from modelslab_async._policy.poll import PollPolicy
from modelslab_async.sandbox import Scenario

from .expecting import PLAIN, Check, paid, polls_by_job, struck, wants, went
from .world import Outcome, Script


def asked(name: str, scenario: Scenario, *checks: Check, **more: Any) -> Script:
    """Every submit is accepted once; what comes of the questions is looked at."""
    settings = {"storm": 300.0, **more}
    return Script(
        id=name, scenario=scenario, expects=wants(struck, _once, _rare, *checks), **settings
    )


def _once(outcome: Outcome) -> Iterable[str]:
    """No trouble with a question makes anybody submit again."""
    yield from paid(outcome.script.jobs)(outcome)
    if any(row.attempt != 1 for row in outcome.rows):
        yield "a row was submitted again"


def _rare(outcome: Outcome) -> Iterable[str]:
    """P23: never at once again but in another life, and hardly more than once a second in all."""
    least = 0.9 * PollPolicy().min_interval
    for name, times in polls_by_job(outcome).items():
        close = sum(later - sooner < least for sooner, later in pairwise(times))
        if close > outcome.lives:
            yield f"job {name} was asked about {close} times at once"
        if len(times) > 15 * outcome.lives + (times[-1] - times[0]):
            yield f"job {name} was asked about {len(times)} times"


def plainly(outcome: Outcome) -> Iterable[str]:
    """No row was struck for good."""
    yield from went(**{PLAIN: outcome.script.jobs})(outcome)
