"""Processes that are cancelled, killed, stopped and starved (X), and what the ledger keeps (L).

Held elsewhere, for they need a kernel, a terminal or another interpreter: X01 to X03 at each wait
(`cancels`), X06, X18, X19 and X21 (`engine/test_surroundings.py`), X07 to X09
(`cli/test_stopping.py`), X10 at each step (`kills`), X16 and X17 (`cli/test_talk.py`), X20
(`engine/test_session.py`), X22 (`engine/test_download_faults.py`); L01 and L03 at each write
(`power`), L04 to L08, L10 to L12, L14, L15, L18 and L20 (`batch/test_ledger*.py`), L09
(`batch/test_ledger_opening.py`), L13 (`benchmarks.ledger_cost`), L17 and L19: one connection, as
`batch/test_ledger_opening.py` shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import anyio
from attrs import evolve

from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault

from .disk import DiskFault
from .named import all_done
from .network import Mishap
from .world import CALM, Outcome, Script

SLOW = evolve(CALM, generation_seconds=(5.0, 20.0))
_LATE_ANSWER = Fault(on="submit", kind="delay", seconds=2.0, times=None)
_LONG_SUBMIT = evolve(CALM, faults=(_LATE_ANSWER,))


async def _in_time(work: Coroutine[Any, Any, None]) -> None:
    """X04: the embedding program gives up after a while."""
    try:
        async with asyncio.timeout(1.0):
            await work
    except TimeoutError:
        return


async def _in_scope(work: Coroutine[Any, Any, None]) -> None:
    with anyio.move_on_after(1.0):
        await work


async def _awaited_for(work: Coroutine[Any, Any, None]) -> None:
    try:
        await asyncio.wait_for(work, 1.0)
    except TimeoutError:
        return


async def _beside_a_failure(work: Coroutine[Any, Any, None]) -> None:
    """X05: a sibling in the program's task group raises."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(work)
            await asyncio.sleep(1.0)
            raise ZeroDivisionError
    except* ZeroDivisionError:
        pass


def _no_false_alarm(outcome: Outcome) -> list[str]:
    """Nothing was in doubt: an answer that came is read, however late the process looks."""
    doubts = [step for step in outcome.steps if step.new is RowState.AMBIGUOUS]
    return all_done(outcome) + [f"row {step.row}: {step.note}" for step in doubts]


def _killed_once(outcome: Outcome) -> list[str]:
    return [] if outcome.killed == 1 else [f"killed {outcome.killed} times"]


_AROUND = {
    "X04-timeout": _in_time,
    "X04-scope": _in_scope,
    "X04-wait-for": _awaited_for,
    "X05": _beside_a_failure,
}

SCRIPTS: tuple[Script, ...] = (
    *(
        Script(id=f"{name}-{kind}", scenario=scenario, around=around, expects=all_done)
        for name, around in _AROUND.items()
        for kind, scenario in (("waiting", SLOW), ("submitting", _LONG_SUBMIT))
    ),
    # A batch of this size has its intents, answers and files within the first seconds.
    *(
        Script(id=f"L02-{after:.2f}", kills=(after,), expects=_killed_once)
        for after in (0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
    ),
    *(
        Script(id=f"T36-{after:.2f}", kills=(after,), copied=True, expects=_killed_once)
        for after in (0.02, 0.08, 0.2, 0.5, 1.0)
    ),
    Script(id="L24", jobs=6, damages=3, storm=600.0, expects=all_done),
    *(
        Script(
            id=f"L24-killed-{after:.2f}",
            jobs=6,
            kills=(20.0, *(after,) * 4, 20.0),
            damages=5,
            storm=3600.0,
            expects=all_done,
        )
        for after in (0.01, 0.03, 0.06, 0.1, 0.3, 1.0)
    ),
    Script(
        id="L24-two-files",
        scenario=evolve(CALM, output="twice"),
        damages=2,
        storm=600.0,
        expects=all_done,
    ),
    Script(
        id="L24-flaky",
        jobs=6,
        scenario=evolve(
            CALM,
            faults=tuple(
                Fault(on="download", kind=kind, times=None, probability=0.3)
                for kind in ("reset", "cut_body", "stall_body")
            ),
        ),
        damages=3,
        storm=3600.0,
        expects=all_done,
    ),
    Script(
        id="L24-disk",
        jobs=6,
        disk=(DiskFault(call="link", name="ENOSPC", times=4, skip=6, probability=0.5),),
        damages=3,
        storm=3600.0,
        expects=all_done,
    ),
    Script(id="X11", scenario=_LONG_SUBMIT, kills=(1.0,), expects=_killed_once),
    Script(
        id="X11-webhook", scenario=_LONG_SUBMIT, kills=(1.0,), webhook=True, expects=_killed_once
    ),
    *(
        Script(id=f"X12-{after}", scenario=SLOW, stops=((after, 600.0),), expects=_no_false_alarm)
        for after in (0.01, 3.0, 8.0)
    ),
    *(
        # The answer to the submit is held for longer than the submit may take, but for the stop.
        Script(
            id=f"X24-submit-{after}",
            scenario=evolve(
                CALM, faults=(Fault(on="submit", kind="delay", seconds=700.0, times=None),)
            ),
            stops=((after, 600.0),),
            storm=1500,
            expects=_no_false_alarm,
        )
        for after in (5.0, 60.0, 150.0)
    ),
    *(
        Script(id=f"X14-{after}", stops=((after, 5.0),), expects=_no_false_alarm)
        for after in (0.05, 0.1, 0.2, 1.0, 4.0)
    ),
    *(
        Script(id=f"X13-{by:+.0f}", scenario=SLOW, leaps=((1.0, by), (6.0, -by)), expects=all_done)
        for by in (86_400.0, -86_400.0, 3600.0)
    ),
    Script(
        id="X15",
        mishaps=(Mishap(on="api", kind="no_files", skip=2, times=3),),
        disk=(DiskFault(call="open", name="EMFILE", times=2),),
        expects=all_done,
    ),
    Script(id="L16", leaps=((0.5, -3600.0), (1.0, 315_000_000.0)), kills=(1.5,), expects=all_done),
)
