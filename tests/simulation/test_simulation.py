"""A little of what `python -m tests.simulation` does at length: a small swarm of faults.

The gate runs each fault by itself, in each of its families.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .families import families_of
from .oracles import findings
from .scripts import REGRESSIONS, SCRIPTS, read, script_named, text_of
from .world import simulate

GATE = range(4)
SWARM = range(12)
SAME = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 4


def test_the_seeds_of_the_gate_run_each_fault_in_each_of_its_families() -> None:
    for name in (*SCRIPTS, "swarm"):
        assert {script_named(name, seed).family for seed in GATE} == set(families_of(name))


@pytest.mark.parametrize("seed", SWARM)
def test_many_faults_at_once_cost_time_and_nothing_else(seed: int) -> None:
    assert not findings(simulate(script_named("swarm", seed), seed))


@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*.json")), ids=lambda path: path.stem)
def test_what_went_wrong_once_does_not_again(path: Path) -> None:
    assert not findings(simulate(read(path), int(path.stem.rpartition("-")[2])))


@pytest.mark.parametrize("seed", range(3))
def test_a_script_survives_being_written_down(seed: int, tmp_path: Path) -> None:
    script = script_named("swarm", seed)
    path = tmp_path / "script.json"
    path.write_text(text_of(script))
    assert read(path) == script


def test_a_seed_gives_the_same_run_in_another_process() -> None:
    """G22: whatever the order of its sets."""
    command = [sys.executable, "-m", "tests.simulation", "--scenario", "swarm", "--trace"]
    told = [
        subprocess.run(
            [*command, "--seeds", f"0:{SAME}"],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[:SAME]
        for seed in ("1", "2")
    ]
    assert len({line.split()[-1] for line in told[0]}) == SAME
    assert told[0] == told[1]
