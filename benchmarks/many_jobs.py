"""How much memory many jobs at once take: ``python -m benchmarks.many_jobs``.

Each size runs in a process of its own, with `generate` and `download` of all prompts started at
once on one session with five slots, against a sandbox in a third process. Peak RSS is that of the
client's process; the files are 200 KB each, so a client that held them would show it.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

from modelslab_async import ModelsLab, MusicGen, PollPolicy

SIZES = (1, 100, 1000, 4000)
SCENARIO = {"generation_seconds": 0, "eta": "float"}
POLL = PollPolicy(min_interval=0.001, rate=5000)


async def many(url: str, key: str, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with ModelsLab(key, base_url=url, poll=POLL) as client:

            async def one(number: int) -> None:
                request = MusicGen(f"piece {number}", max_new_token=256, sampling_rate=10000)
                await client.download(await client.generate(request), to=folder)

            await asyncio.gather(*(one(number) for number in range(count)))
            found = len(os.listdir(folder))
    assert found == count


def measured(url: str, key: str, count: int) -> None:
    """In the child: run, and print seconds and peak RSS in MiB."""
    start = time.perf_counter()
    asyncio.run(many(url, key, count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak}))


def main() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as scenario:
        scenario.write(json.dumps(SCENARIO))
        scenario.flush()
        serve = [sys.executable, "-m", "modelslab_async", "sandbox", "--json"]
        command = [*serve, "--scenario", scenario.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
            assert sandbox.stdout is not None
            box = json.loads(sandbox.stdout.readline())
            print(f"{'jobs at once':>12} {'seconds':>9} {'peak RSS':>10}")
            for count in SIZES:
                child = [sys.executable, "-m", "benchmarks.many_jobs", box["url"], box["key"]]
                output = subprocess.run([*child, str(count)], capture_output=True, check=True)
                figures = json.loads(output.stdout)
                print(f"{count:>12} {figures['seconds']:>9.2f} {figures['peak']:>6.0f} MiB")
            sandbox.terminate()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measured(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main()
