"""How fast the sandbox makes music: ``python -m benchmarks renders``.

Tracks of ten seconds, each of another prompt and seed, rendered one after the other in one process:
so many a second of CPU time does one core make. Notes and drums are kept and shared, so the first
tracks of a process are slower; the very first, and the first sixty, are shown apart.
"""

from __future__ import annotations

import json
import sys
import time

from modelslab_async.sandbox._audio.synth import render

from .measuring import Figure, Goal, Result, child

MODULE = "benchmarks.renders"
SECONDS = 10.0
_EARLY = 60
STYLES = ("lo-fi beat", "techno", "sitar and tabla", "piano waltz", "rock", "ambient pads")


def rendered(count: int) -> dict[str, float]:
    """Tracks a second of CPU time, of the first ones and later; CPU seconds of the very first."""
    times = [time.process_time()]
    for number in range(_EARLY + count):
        track(number)
        times.append(time.process_time())
    return {
        "first": times[1] - times[0],
        "early": (_EARLY - 1) / (times[_EARLY] - times[1]),
        "rate": count / (times[-1] - times[_EARLY]),
    }


def track(number: int) -> None:
    """One track, of a prompt and a seed of its own."""
    render(f"{STYLES[number % len(STYLES)]}, piece {number}", seconds=SECONDS, seed=number)


def run(quick: bool) -> Result:
    """Processes one after the other."""
    raw = [child(MODULE, 5 if quick else 100) for _ in range(1 if quick else 5)]
    rate, first = "tracks a second of CPU", [1e3 * one["first"] for one in raw]
    figures = [
        Figure("10 s", rate, [one["rate"] for one in raw], "", Goal(60, at_least=True)),
        Figure("10 s, first sixty", rate, [one["early"] for one in raw]),
        Figure("10 s, very first", "CPU", first, "ms"),
    ]
    return Result("renders", figures, raw=raw)


if __name__ == "__main__":
    print(json.dumps(rendered(int(sys.argv[1]))))
