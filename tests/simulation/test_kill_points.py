"""A batch that is killed at any step pays for each row once, and brings each file (G3, X10).

Here it is killed at every third step; `python -m tests.simulation.kills --seeds 20` does so at
each, with more rows, and with faults.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from .kill_sweep import Damaged, Unlinkable, sandbox
from .kills import MEMORY, Sweep

EVERY = 3


# The start and the end of a batch are the same for each row count; one row shows every step.
def test_x10_a_batch_killed_at_any_step_pays_for_each_row_once() -> None:
    with sandbox() as box, tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        sweep = Sweep.of(box, Path(folder), "one", rows=1, every=EVERY)
    kinds = {"write", "pwrite", "link", "unlink", "fsync", "send", "recv", "commit"}
    assert kinds <= sweep.steps.keys()
    assert sweep.steps.total() >= 60
    assert 0 < sweep.left < sweep.steps.total() / 4  # killed between the intent and the submit


def test_l24_a_run_that_brings_missing_files_again_may_be_killed_at_any_step() -> None:
    """One file is gone and one is changed: both are there in the end, once, and paid for once."""
    with sandbox() as box, tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        sweep = Sweep.of(box, Path(folder), "damaged", 2, Damaged, every=EVERY)
    assert {"write", "link", "unlink", "fsync", "send", "recv", "commit"} <= sweep.steps.keys()
    assert sweep.left == 0


def test_h01_a_batch_without_hard_links_may_be_killed_at_any_step() -> None:
    """Also between the file that reserves a name and the rename that replaces it."""
    with sandbox() as box, tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        sweep = Sweep.of(box, Path(folder), "unlinkable", 1, Unlinkable, every=EVERY)
    assert {"rename", "unlink", "fsync", "commit"} <= sweep.steps.keys()
    assert "link" not in sweep.steps
