"""What all benchmarks share: figures with spread and goal, children that are measured, a table.

A benchmark is a module with a docstring that says what is measured, and `run(quick) -> Result`.
Whatever is measured runs in a process of its own; what it imports is not counted.
"""

from __future__ import annotations

import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

OURS = "modelslab-async"
"""This client's name as a subject, wherever it stands beside others."""


@frozen
class Goal:
    """What a figure should be: at most, or at least, so much."""

    bound: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


def _kept(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


@frozen
class Figure:
    """One measured quantity.

    Attributes:
        subject: what was measured: a peer, a size, a setting.
        quantity: what it is a measure of, such as ``CPU a job``.
        values: one for each run.
        unit: of the values; empty for a ratio.
        goal: where there is one.
    """

    subject: str
    quantity: str
    values: Sequence[float] = field(converter=_kept)
    unit: str = ""
    goal: Goal | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return f"{'met' if self.goal.is_met(self.median) else 'MISSED'}: {self.goal}"


@frozen
class Result:
    """What one benchmark found.

    Attributes:
        name: of its module.
        figures: in the order they are shown.
        notes: what a reader must know beside them, such as a peer that is not installed.
        raw: the runs as they came from the children.
    """

    name: str
    figures: Sequence[Figure] = field(converter=_kept)
    notes: Sequence[str] = field(converter=_kept, default=())
    raw: Sequence[Any] = field(converter=_kept, default=())


def ratios(values: Sequence[float], of: Sequence[float]) -> list[float]:
    """Run by run, so that what disturbs the machine disturbs both sides of a ratio."""
    return [one / other for one, other in zip(values, of, strict=True)]


def quantile(values: Sequence[float], part: float) -> float:
    """The value that so great a part of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def child(module: str, *arguments: object) -> Any:
    """Run ``python -m module arguments`` and read the JSON of its last line.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    command = [sys.executable, "-m", module, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def serving(module: str, *arguments: object) -> Iterator[Any]:
    """A server in a process of its own; what is yielded is the JSON of its first line.

    Raises:
        RuntimeError: it did not start; it has said why itself.
    """
    command = [sys.executable, "-m", module, *(str(argument) for argument in arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{' '.join(command)} did not start")
            yield json.loads(line)
        finally:
            process.terminate()


class Meter:
    """CPU seconds, seconds and peak memory of this process, from now on."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        self._rss = _peak_rss()

    def read(self) -> dict[str, float]:
        """``cpu`` and ``wall`` in seconds; ``rss`` and ``rss_growth`` in MiB."""
        rss = _peak_rss()
        return {
            "cpu": time.process_time() - self._cpu,
            "wall": time.perf_counter() - self._wall,
            "rss": rss,
            "rss_growth": rss - self._rss,
        }


def _peak_rss() -> float:
    """Linux counts what the parent had before a child's program was loaded in `ru_maxrss`, too."""
    status = Path("/proc/self/status")
    _, found, rest = (status.read_text() if status.exists() else "").partition("VmHWM:")
    if found:
        return int(rest.split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rotated(names: Sequence[str], repeats: int) -> Iterator[str]:
    """All names ``repeats`` times, each round beginning with another one."""
    for turn in range(repeats):
        start = turn % len(names)
        yield from (*names[start:], *names[:start])


def show(result: Result, say: Callable[[str], None] = print) -> None:
    """The figures as a table: median, lowest and highest of the runs, and the goal."""
    say(f"\n{result.name}")
    for figure in result.figures:
        low, high = min(figure.values), max(figure.values)
        spread = f"({low:.4g} to {high:.4g})" if len(figure.values) > 1 else ""
        number = f"{figure.median:.4g} {figure.unit}".rstrip()
        say(
            f"  {figure.subject:<28} {figure.quantity:<30} {number:>12} {spread:<20} "
            f"{figure.verdict}".rstrip()
        )
    for note in result.notes:
        say(f"  note: {note}")
