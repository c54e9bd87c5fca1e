"""Batches that are killed, and two that want the same directory (L02, L09, X10, X11).

`python -m tests.simulation.kill_sweep` does the same at full size.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from modelslab_async import LedgerError
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._states import RowState

from ..simulation.kill_sweep import Box, Trial, in_child, killed_at_random, sandbox

# A kill loses nothing that was written, synced or not, so memory serves as well as a disk.
QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with sandbox() as box:
        yield box


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=QUICK) as folder:
        yield Path(folder)


@pytest.mark.parametrize("seed", range(3))
def test_x10_a_batch_killed_at_random_pays_for_each_row_once(
    box: Box, place: Path, seed: int
) -> None:
    trial = Trial(box, place / "out", f"seed{seed}", rows=20)
    dice = random.Random(seed)
    kills = killed_at_random(trial, dice, longest=0.2)
    trial.judge()
    assert kills


LOST: dict[str, Any] = {"times": None, "probability": 0.2, "on": "submit"}
SLOW_FILES = {"on": "download", "kind": "delay", "seconds": 0.05, "times": None}


@pytest.mark.parametrize(
    "fault",
    [
        {**LOST, "kind": "reset"},
        {**LOST, "kind": "silent"},
        {**LOST, "kind": "edge", "status": 504},
    ],
    ids=["reset", "timeout", "504"],
)
def test_s10_answers_lost_after_acceptance_are_found_in_the_list_of_assets(
    place: Path, fault: dict[str, Any]
) -> None:
    with sandbox(faults=[fault]) as box:
        trial = Trial(box, place / "out", "lost", rows=30, submit_timeout=0.3)
        assert in_child(trial.run) == 0
        assert box.jobs("lost").total() == 30
        assert trial.states() == {RowState.DONE: 30}
        assert trial.judge() == 0


def test_x11_answers_lost_to_kills_and_to_resets_together_are_found(place: Path) -> None:
    with sandbox(faults=[{**LOST, "kind": "reset"}, SLOW_FILES]) as box:
        trial = Trial(box, place / "out", "both", rows=20)
        assert killed_at_random(trial, random.Random(7), longest=0.25)
        trial.judge()


CHILD = """
import asyncio, sys
from pathlib import Path
from modelslab_async.batch._ledger import Ledger

async def main():
    async with Ledger(Path(sys.argv[1])):
        print("open", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


@pytest.mark.anyio
async def test_l09_a_second_process_in_a_directory_is_told_so(box: Box, place: Path) -> None:
    trial = Trial(box, place, "two", rows=3)
    command = [sys.executable, "-c", CHILD, str(place)]
    async with await anyio.open_process(command, stderr=None) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert (await other.stdout.receive()).startswith(b"open")
        with pytest.raises(LedgerError, match=rf"another process \(pid {other.pid} .* works on"):
            async with Ledger(place):
                pass
        assert await anyio.to_thread.run_sync(in_child, trial.run) == 1
        assert box.jobs("two").total() == 0
        await other.stdin.aclose()
        assert await other.wait() == 0
    assert in_child(trial.run) == 0
    trial.judge()


def test_l02_a_row_between_intent_and_submit_is_never_paid_for_unasked(
    box: Box, place: Path
) -> None:
    trial = Trial(box, place, "intent", rows=1)

    def work() -> None:
        from modelslab_async._engine.http import KeyedTransport

        async def die(*_: object, **__: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        KeyedTransport.post = die  # type: ignore[method-assign, assignment]
        trial.run()

    assert in_child(work) == -signal.SIGKILL
    for _ in range(2):
        assert in_child(trial.run) == 0
        assert trial.states() == {RowState.AMBIGUOUS: 1}
    assert not box.jobs("intent")
    assert trial.judge() == 1
