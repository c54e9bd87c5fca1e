"""What it costs to import the package and to see the help: ``python -m benchmarks imports``.

Each command is a process of its own, in turns with a bare Python; what is shown is what it costs
beyond that one, or for the help, all of it. Wall clock and CPU time are both shown: the clock is
what a person waits for, and on a busy machine the CPU time (user and system) is what to believe.
Bytecode is compiled before.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

from attrs import frozen

from .measuring import Figure, Goal, Result

COMMANDS = {
    "bare Python": ("-c", "pass"),
    "import modelslab_async": ("-c", "import modelslab_async"),
    "open a client": ("-c", "from modelslab_async import ModelsLab; ModelsLab('key')"),
    "--help": ("-m", "modelslab_async", "--help"),
    "generate --help": ("-m", "modelslab_async", "generate", "--help"),
}
_IMPORT = Goal(35)
_HELP = Goal(110)


@frozen
class Cost:
    """Milliseconds of one process."""

    wall: float
    cpu: float


def run(quick: bool) -> Result:
    """All commands, in turns."""
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    for name in COMMANDS:
        measure(name)
    for _ in range(2 if quick else 21):
        for name in COMMANDS:
            costs[name].append(measure(name))
    bare = costs["bare Python"]
    return Result(
        "imports",
        [
            *_both("import modelslab_async", costs["import modelslab_async"], bare, _IMPORT),
            *_both("open a client", costs["open a client"], bare, None),
            *_both("--help", costs["--help"], None, _HELP),
            *_both("generate --help", costs["generate --help"], None, _HELP),
            *_both("bare Python", bare, None, None),
        ],
    )


def measure(name: str) -> Cost:
    """One process, from its start to its end."""
    before, start = _children(), time.perf_counter()
    command = [sys.executable, *COMMANDS[name]]
    subprocess.run(command, stdout=subprocess.DEVNULL, env=dict(os.environ), check=True)
    wall = time.perf_counter() - start
    return Cost(wall=1e3 * wall, cpu=1e3 * (_children() - before))


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _both(name: str, costs: list[Cost], bare: list[Cost] | None, goal: Goal | None) -> list[Figure]:
    without = bare or [Cost(0, 0)] * len(costs)
    words = " beyond bare Python" if bare else ""
    pairs = list(zip(costs, without, strict=True))
    return [
        Figure(name, f"wall{words}", [one.wall - other.wall for one, other in pairs], "ms", goal),
        Figure(name, f"CPU{words}", [one.cpu - other.cpu for one, other in pairs], "ms", goal),
    ]
