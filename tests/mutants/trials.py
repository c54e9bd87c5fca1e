"""Run tests in another tree than this one: each trial in a fork, so many of them at once.

This process has loaded what is not ours, so that a trial costs little more than its tests. The
tree comes first on the path of the fork, and on that of every process that its tests start.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NoReturn

import pytest
from attrs import frozen

from .mutant import PACKAGE

PASSED: Final = 0
FAILED: Final = 1
_OTHER_TREE: Final = 70
_LOADED_ONCE: Final = (
    *("aiohttp.web", "cattrs", "click", "rich.progress", "sqlite3", "yarl"),
    # Plugins of pytest, whose asserts it would rewrite in each fork.
    *("anyio.pytest_plugin", "hypothesis.stateful", "xdist.plugin"),
)
_PYTEST: Final = (
    *("-x", "-q", "-n0", "-p", "no:cacheprovider", "--timeout=20", "--no-header", "--tb=line"),
    *("-m", ""),  # tests of proofs, too
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of what is loaded already
)


@frozen
class Trial:
    """Tests to run in a tree.

    Attributes:
        tests: node ids below ``tests/``.
        tree: where they and the package lie.
        report: gets what pytest says.
        compiling: whether compiled code is kept. Not that of a bug: another one of the same
            length in the same second would be taken for it.
    """

    tests: tuple[str, ...]
    tree: Path
    report: Path
    compiling: bool = False


def outcomes(trials: Iterable[Trial], jobs: int) -> Iterator[tuple[Trial, int]]:
    """Each trial and the exit code of its pytest, in the order in which they end."""
    for name in _LOADED_ONCE:
        importlib.import_module(name)
    waiting, running = iter(trials), dict[int, Trial]()
    while True:
        while len(running) < jobs and (trial := next(waiting, None)):
            running[_started(trial)] = trial
        if not running:
            return
        pid, status = os.wait()
        yield running.pop(pid), os.waitstatus_to_exitcode(status)


class _Heard:
    """Hears what came of the tests."""

    code = _OTHER_TREE

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.code = int(exitstatus)


def _started(trial: Trial) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        _run_and_exit(trial)
    return pid


def _run_and_exit(trial: Trial) -> NoReturn:
    code, heard = _OTHER_TREE, _Heard()
    try:
        _move_to(trial)
        # What a failed test has left open, pytest may call an error of its own at the very end.
        with contextlib.suppress(Exception):
            pytest.main([*_PYTEST, *(f"tests/{test}" for test in trial.tests)], plugins=[heard])
        if Path(str(sys.modules[PACKAGE].__file__)).is_relative_to(trial.tree):
            code = heard.code
    except BaseException:  # noqa: BLE001 - nothing of the fork may reach the command
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _move_to(trial: Trial) -> None:
    """Have all that is imported and started from now on come from the tree."""
    report = os.open(trial.report, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(report, 1)
    os.dup2(report, 2)
    os.chdir(trial.tree)
    sys.path.insert(0, str(trial.tree))
    os.environ |= {"PYTHONPATH": str(trial.tree), "COLUMNS": "200"}
    # Where it sees CI, pytest writes out the whole difference of two files, which takes it longer
    # than the test may take.
    for name in ("CI", "BUILD_NUMBER"):
        os.environ.pop(name, None)
    if not trial.compiling:
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", PACKAGE)]:
        del sys.modules[name]
