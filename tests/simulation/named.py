"""The situations that a service meets sooner or later, each by its name.

Outages are long, machines sleep, disks fill up; in the end every file is there, once, paid once.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault

from .disk import DiskFault
from .expecting import polls
from .network import Mishap, Place
from .world import CALM, Outcome, Script

_HOUR = 3600.0
_PLACES: tuple[Place, ...] = ("api", "storage", "mirror", "hooks")


def _down(*places: Place) -> tuple[Mishap, ...]:
    return tuple(Mishap(on=place, kind="refused", times=None) for place in places)


def all_done(outcome: Outcome) -> list[str]:
    """Every row has its file, and one debit."""
    left = [f"row {row.seq} is {row.state}" for row in outcome.rows if row.state != RowState.DONE]
    paid = len(outcome.book.debits)
    return left + ([] if paid == outcome.script.jobs else [f"{paid} debits"])


def _fetches(most: float) -> Callable[[Outcome], list[str]]:
    def check(outcome: Outcome) -> list[str]:
        asked = len(polls(outcome)) / outcome.script.jobs
        return all_done(outcome) + ([] if asked <= most else [f"{asked:.1f} polls a job"])

    return check


def _queue_kept(outcome: Outcome) -> list[str]:
    peak = outcome.book.peak_queue
    return all_done(outcome) + ([] if peak == outcome.script.slots else [f"a queue of {peak}"])


SCRIPTS: tuple[Script, ...] = (
    Script(
        id="outage",
        jobs=10,
        mishaps=tuple(
            Mishap(on=place, kind="refused", skip=3, times=None) for place in ("api", "storage")
        ),
        storm=_HOUR,
        expects=all_done,
    ),
    Script(
        id="brown-out",
        jobs=10,
        scenario=evolve(
            CALM,
            faults=tuple(
                Fault(on=on, kind="edge", status=502, times=None, probability=0.5, accepted=False)
                for on in ("fetch", "download", "assets")
            ),
        ),
        storm=_HOUR,
        expects=all_done,
    ),
    Script(
        id="webhook-only",
        webhook=True,
        jobs=60,
        scenario=evolve(CALM, generation_seconds=(5.0, 60.0)),
        expects=_fetches(2.5),
        storm=_HOUR,
    ),
    Script(id="poll-only", webhook=True, scenario=evolve(CALM, webhook_lost=1.0), expects=all_done),
    Script(
        id="both-racing",
        jobs=10,
        webhook=True,
        scenario=evolve(CALM, webhook_duplicates=2, webhook_lost=0.3, webhook_early=True),
        expects=all_done,
    ),
    Script(id="cdn-down", mishaps=_down("storage", "mirror"), storm=_HOUR, expects=all_done),
    Script(
        id="api-down",
        mishaps=tuple(Mishap(on="api", kind="refused", skip=3, times=None) for _ in "1"),
        storm=_HOUR,
        expects=all_done,
    ),
    Script(
        id="disk-full",
        disk=(DiskFault(call="write", name="ENOSPC", skip=1, times=None, short=True),),
        expects=all_done,
    ),
    Script(
        id="restarts",
        jobs=10,
        scenario=evolve(CALM, generation_seconds=(5.0, 60.0)),
        kills=(20.0,) * 12,
        storm=_HOUR,
    ),
    *(
        Script(
            id=f"clock-jump-{phase}",
            leaps=((after, by),),
            scenario=evolve(CALM, generation_seconds=(10.0, 10.0), cdn_lag_seconds=10.0),
            webhook=True,
            expects=all_done,
        )
        for phase, after, by in (
            ("before-submit", 0.0, 86_400.0),
            ("while-submitting", 0.08, -86_400.0),
            ("while-waiting", 5.0, 86_400.0),
            ("while-downloading", 12.0, -86_400.0),
        )
    ),
    Script(id="long-queue", jobs=200, slots=5, max_jobs=5, storm=_HOUR, expects=_queue_kept),
    Script(
        id="overfull-queue",
        jobs=60,
        slots=5,
        max_jobs=15,
        scenario=evolve(CALM, retry_after=1.0),
        storm=_HOUR,
        expects=_queue_kept,
    ),
    Script(
        id="clog",
        jobs=10,
        mishaps=tuple(
            Mishap(on=place, kind="silence", at=200, times=3, skip=1, probability=0.5)
            for place in _PLACES
        ),
        webhook=True,
        storm=_HOUR,
    ),
    Script(
        id="asleep",
        jobs=6,
        scenario=evolve(CALM, generation_seconds=(5.0, 60.0)),
        stops=((0.5, 600.0), (700.0, 7200.0)),
        storm=_HOUR,
    ),
)
