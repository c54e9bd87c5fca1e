"""G13: every reader of foreign bytes, over its corpus and over bytes near to it; no atheris."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from .__main__ import main
from .near import near
from .targets import PLANTED, TARGETS, Target

targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@targets
def test_nothing_in_the_corpus_breaks_a_reader(target: Target) -> None:
    seeds = target.corpus()
    assert seeds
    for seed in seeds:
        target.run(seed)


@targets
@given(seed=st.integers(0, 2**64 - 1))
def test_nothing_near_the_corpus_breaks_a_reader(target: Target, seed: int) -> None:
    data = near(Random(seed), target.corpus(), target.words)
    note(repr(data))
    target.run(data)


def look_near(target: Target, tries: int) -> None:
    random, seeds = Random(1), target.corpus()
    for _ in range(tries):
        target.run(near(random, seeds, target.words))


def test_a_planted_mistake_is_found_near_the_corpus() -> None:
    with pytest.raises(IndexError):
        look_near(PLANTED, 5_000)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is an extra")
def test_a_planted_mistake_is_found_by_atheris(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--target", "planted", "--seconds", "90"]
    run = subprocess.run(
        [*command, "--seed", "2", "--corpus", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "IndexError" in run.stdout
    (found,) = tmp_path.glob("planted.failed-*")
    with pytest.raises(IndexError):
        PLANTED.run(found.read_bytes())


def test_without_atheris_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    assert main([]) == 2
    assert "pip install atheris" in capsys.readouterr().out
