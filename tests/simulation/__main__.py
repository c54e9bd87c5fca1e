"""Run scripts by seeds: ``python -m tests.simulation --seeds 0:2000 --scenario swarm --workers 2``.

Without ``--scenario``, all faults of the matrix and the named scenarios, each by each seed. A
failing run is printed with the line that repeats it; ``--save`` keeps its script as a file.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from .oracles import findings
from .scripts import REGRESSIONS, SCRIPTS, script_named, text_of
from .world import simulate


def judged(task: tuple[str, int]) -> tuple[str, int, list[str], str]:
    """Run one script by one seed: what is wrong with it, and the trace of the run."""
    name, seed = task
    try:
        outcome = simulate(script_named(name, seed), seed)
    except Exception:  # noqa: BLE001  a run that breaks down is a finding, too
        return name, seed, [traceback.format_exc()], ""
    return name, seed, findings(outcome), outcome.trace


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    first, _, end = options.seeds.partition(":")
    seeds = range(int(first), int(end or int(first) + 1))
    names = options.scenario or list(SCRIPTS)
    began = time.perf_counter()
    tasks = [(name, seed) for name in names for seed in seeds]
    failed = runs = 0
    for name, seed, found, trace in _results(tasks, options.workers):
        runs += 1
        if options.trace:
            print(name, seed, trace)
        if found:
            failed += 1
            _report(name, seed, found, save=options.save)
    print(f"{runs} runs, {failed} failed, {time.perf_counter() - began:.0f} s")
    return 1 if failed else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:10", metavar="A:B", help="from A to before B")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="swarm, S10, ...")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--save", action="store_true", help=f"keep failing scripts in {REGRESSIONS}"
    )
    parser.add_argument("--trace", action="store_true", help="print a digest of each run")
    return parser.parse_args(arguments)


def _results(
    tasks: list[tuple[str, int]], workers: int
) -> Iterable[tuple[str, int, list[str], str]]:
    if workers == 1:
        yield from map(judged, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _quiet) as pool:
        yield from pool.imap_unordered(judged, tasks, chunksize=4)


def _quiet() -> None:
    """What the product warns of is what it is made to meet here."""
    logging.getLogger("modelslab_async").addHandler(logging.NullHandler())


def _report(name: str, seed: int, found: list[str], *, save: bool) -> None:
    print(f"FAILED: python -m tests.simulation --scenario {name} --seeds {seed}:{seed + 1}")
    for sentence in found[:8]:
        print(f"    {sentence}")
    if save:
        REGRESSIONS.mkdir(exist_ok=True)
        path = Path(REGRESSIONS / f"{name}-{seed}.json")
        path.write_text(text_of(script_named(name, seed)))
        print(f"    kept: {path}")


if __name__ == "__main__":
    _quiet()
    sys.exit(main(sys.argv[1:]))
