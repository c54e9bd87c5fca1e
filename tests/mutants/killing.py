"""Plant each bug in a copy of the tree of its own, and tell whether its tests see it.

Only a test that fails kills: an error in collecting, or no test at all, is no verdict, and neither
is the failure of a test that fails without the bug.
"""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from .mutant import PACKAGE, DoesNotApply, Mutant, module_of
from .trials import FAILED, PASSED, Trial, outcomes

ROOT: Final = Path(__file__).parents[2]
_COPIED: Final = (PACKAGE, "tests", "benchmarks", "pyproject.toml", "README.md")


class Verdict(enum.StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    STALE = "DOES NOT APPLY"
    BROKEN = "NO VERDICT"


@frozen
class Result:
    """The verdict on one mutant, and what explains it."""

    mutant: Mutant
    verdict: Verdict
    detail: str = ""


def verdicts(
    mutants: Iterable[Mutant], place: Path, jobs: int, *, passed: bool = False
) -> Iterator[Result]:
    """What becomes of each mutant, in the order in which that is known.

    Args:
        mutants: to plant.
        place: an empty directory to work in.
        jobs: how many tests run at once.
        passed: the tests are known to pass without a bug.
    """
    tree = _copy_of_the_tree(place / "tree")
    broken = {} if passed else _broken(mutants, tree, jobs)
    trials: dict[Path, Mutant] = {}
    for mutant in mutants:
        reasons = {broken[module] for module in map(module_of, mutant.tests) if module in broken}
        if reasons:
            yield Result(mutant, Verdict.BROKEN, f"without the bug, too: {'; '.join(reasons)}")
            continue
        try:
            trials[_planted(mutant, tree, place / mutant.name)] = mutant
        except DoesNotApply as error:
            yield Result(mutant, Verdict.STALE, str(error))
    ready = (Trial(mutant.tests, copy, copy.with_suffix(".txt")) for copy, mutant in trials.items())
    for trial, code in outcomes(ready, jobs):
        yield _result(trials[trial.tree], trial, code)


def _copy_of_the_tree(directory: Path) -> Path:
    """A copy to run tests in; the caches of compiled code keep their value."""
    directory.mkdir()
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name)
        elif source.exists():
            shutil.copy2(source, directory / name)
    return directory


def _broken(mutants: Iterable[Mutant], tree: Path, jobs: int) -> dict[str, str]:
    """Modules of tests of which one fails without any bug, and why.

    All the tests of one module that mutants name are run together.
    """
    modules: dict[str, dict[str, None]] = {}
    for test in (test for mutant in mutants for test in mutant.tests):
        modules.setdefault(module_of(test), {})[test] = None
    trials = [
        Trial(tuple(tests), tree, tree.with_suffix(f".{number}.txt"), compiling=True)
        for number, tests in enumerate(modules.values())
    ]
    return {
        module_of(trial.tests[0]): _reason(trial)
        for trial, code in outcomes(trials, jobs)
        if code != PASSED
    }


def _planted(mutant: Mutant, tree: Path, place: Path) -> Path:
    """A tree of links to the files of another, but for those that the bug changes."""
    texts = mutant.mutated(tree)
    shutil.copytree(tree, place, copy_function=os.link)
    for path, text in texts.items():
        copy = place / path.relative_to(tree)
        copy.unlink()
        copy.write_text(text)
    return place


def _result(mutant: Mutant, trial: Trial, code: int) -> Result:
    if code == PASSED:
        return Result(mutant, Verdict.SURVIVED, "")
    return Result(mutant, Verdict.KILLED if code == FAILED else Verdict.BROKEN, _reason(trial))


def _reason(trial: Trial) -> str:
    """The line that names the test that failed, and why; the last line where there is none."""
    lines = trial.report.read_text(errors="replace").strip().splitlines()
    named = (
        line.partition(" ")[2]
        for line in lines
        if line.startswith(("FAILED tests/", "ERROR tests/"))
    )
    return next(named, lines[-1] if lines else "pytest said nothing")
