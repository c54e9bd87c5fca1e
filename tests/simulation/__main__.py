"""Run scripts by seeds: ``python -m tests.simulation --seeds 0:2000 --scenario swarm --workers 2``.

Without ``--scenario``, all faults of the matrix and the named scenarios, each by each seed. A
failing run is printed with the line that repeats it; ``--save`` keeps its script as a file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from .judging import judged, quiet
from .scripts import REGRESSIONS, SCRIPTS, script_named, text_of


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
    options = parser.parse_args(arguments)
    for name in options.scenario or ():
        try:
            script_named(name, 0)
        except KeyError as error:
            parser.error(str(error.args[0]))
    return options


def _results(
    tasks: list[tuple[str, int]], workers: int
) -> Iterable[tuple[str, int, list[str], str]]:
    if workers == 1:
        yield from map(judged, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(workers, quiet) as pool:
        yield from pool.imap_unordered(judged, tasks, chunksize=4)


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
    quiet()
    sys.exit(main(sys.argv[1:]))
