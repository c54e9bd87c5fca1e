"""Plant each bug, run its tests, and print which bugs they see.

``python -m tests.mutants [NAME ...] [--of KIND] [--jobs 2] [--passed]``
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .catalogue import KINDS, MUTANTS
from .killing import Result, Verdict, verdicts


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 only if every bug was seen, by tests that pass without it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of them when none is named")
    parser.add_argument("--of", action="append", choices=KINDS, help="bugs of this kind")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument(
        "--passed", action="store_true", help="the tests have just passed without any bug"
    )
    given = parser.parse_args(arguments)
    known = {mutant.name: mutant for mutant in MUTANTS}
    if strange := set(given.names) - known.keys():
        parser.error(f"no mutant is called {', '.join(sorted(strange))}")
    kinds = [mutant for kind in given.of or () for mutant in KINDS[kind]]
    chosen = [*kinds, *(known[name] for name in given.names)] or list(MUTANTS)
    with TemporaryDirectory(prefix="mutants-") as place:
        found = verdicts(chosen, Path(place).resolve(), given.jobs, passed=given.passed)
        results = [_shown(result) for result in found]
    alive = [result for result in results if result.verdict is not Verdict.KILLED]
    print(f"{len(results) - len(alive)} of {len(results)} killed, {_cpu_seconds():.0f} s of CPU")
    for result in alive:  # once more: what keeps only the end of a log keeps these
        _shown(result)
    return 1 if alive else 0


def _shown(result: Result) -> Result:
    line = f"{result.verdict.value:>14}  {result.mutant.name}"
    print(f"{line}  {result.detail}".rstrip(), flush=True)
    return result


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
