"""What many rows cost a batch: ``python -m benchmarks.batch_rows``.

For each size, three processes: one plans the rows and submits none, one opens the directory again
and finds out what is left, and one does so with the rows given again, each to be compared. No
connection is opened. Peak RSS is that of the process, and in the first line that of a batch of one.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelslab_async import LimitReached, Limits, ModelsLab, MusicGen

SIZES = (1, 10_000, 100_000)
STEPS = ("plan", "resume", "same rows")
NOTHING = Limits(max_jobs_total=0)


class Many(Sequence[MusicGen]):
    """Requests that are made while they are read: a list of them would be measured too."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if number >= self._count:
            raise IndexError(number)
        return MusicGen(f"sitar and tabla, piece {number}", max_new_token=512)


async def run(requests: Sequence[MusicGen] | None, folder: Path) -> None:
    client = ModelsLab("key", base_url="http://127.0.0.1:9")
    async with client, client.batch(requests, directory=folder, limits=NOTHING) as outcomes:
        try:
            async for _ in outcomes:
                raise AssertionError("nothing can be paid for")
        except LimitReached:
            return


def measured(step: str, folder: Path, count: int) -> None:
    """In the child: run, and print seconds and peak RSS in MiB."""
    requests = None if step == "resume" else Many(count)
    start = time.perf_counter()
    asyncio.run(run(requests, folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([time.perf_counter() - start, peak]))


def main() -> None:
    print(f"{'rows':>8} " + " ".join(f"{step:>18}" for step in STEPS))
    for count in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            figures = []
            for step in STEPS:
                command = [sys.executable, "-m", "benchmarks.batch_rows", step, folder, str(count)]
                output = subprocess.run(command, capture_output=True, check=True).stdout
                figures.append("{:>7.2f} s {:>4.0f} MiB".format(*json.loads(output)))
            print(f"{count:>8} " + " ".join(f"{text:>18}" for text in figures))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measured(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
