"""What many jobs at once take: ``python -m benchmarks in_flight``.

*Memory*: 10,000 jobs, as an enterprise plan may have them, each waited for by a task of its own,
all accepted and none finished. A job's share is the growth of the process's resident memory beyond
a session that has had its first jobs. Half of it are two tasks and their frames (who waits, and who
submitted and now asks), the rest is the request, the ticket, the job's state and one timer.

*Lag of the event loop*: how much later than asked for a task wakes up that sleeps 10 ms again and
again, from the first of these submits until a thousand jobs have ended; 20 submits are on their way
at once. (With 100, what they bring is worked through in one turn of the loop, and the 99th
percentile is 150 ms.) The longest are full collections of Python's garbage collector, which look at
all that is in memory. A wait while another process has the core is not the client's: no lag counts
for more than the CPU time that the client used meanwhile.

*Budget*: 1,000 jobs that end within a second would need more questions than `PollPolicy.rate`
allows; what leaves in any one second is a part of that rate.

*Files*: the whole way, `generate` and `download` of all prompts started at once on a session with
five slots; a client that held the files of 640 KB in memory would show it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelslab_async import ModelsLab, MusicGen, PollPolicy

from .measuring import Figure, Goal, Meter, Result, child, quantile, serving

MODULE = "benchmarks.in_flight"
RATE = 200.0
_SUBMITTED_AT_ONCE = 20
_FIRST = 50
_LONG = ("--mean", 60, "--spread", 5)
_SHORT = ("--mean", 4, "--spread", 0.5)


def resident() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def lags(found: list[float]) -> None:
    """Sleep 10 ms again and again, and note how much too long each sleep was."""
    while True:
        cpu, due = time.process_time(), time.perf_counter() + 0.01
        await asyncio.sleep(0.01)
        used = time.process_time() - cpu
        found.append(min(time.perf_counter() - due, used))


class Crowd:
    """Many jobs of one client, and a task that waits for each."""

    def __init__(self, client: ModelsLab, numbers: Sequence[int]) -> None:
        self._client = client
        self._gate = asyncio.Semaphore(_SUBMITTED_AT_ONCE)
        self.accepted = self.ended = 0
        self.tasks = [asyncio.ensure_future(self._one(number)) for number in numbers]

    async def _one(self, number: int) -> None:
        async with self._gate:
            job = await self._client.submit(MusicGen(f"piece {number}"))
        self.accepted += 1
        await job.result()
        self.ended += 1

    async def reach(self, *, accepted: int = 0, ended: int = 0) -> None:
        """Wait until so many have come so far, or one has failed."""
        while self.accepted < accepted or self.ended < ended:
            for task in self.tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.2)

    async def leave(self) -> None:
        """Wait for none of them any more."""
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


async def many(url: str, count: int) -> dict[str, float]:
    """Bytes a job in flight, and the 99th percentile of the loop's lag."""
    found: list[float] = []
    async with ModelsLab("key", base_url=url, max_jobs=count + _FIRST) as client:
        first = Crowd(client, range(_FIRST))
        await first.reach(accepted=_FIRST)
        gc.collect()
        empty = resident()
        sampler = asyncio.ensure_future(lags(found))
        crowd = Crowd(client, range(_FIRST, _FIRST + count))
        await crowd.reach(accepted=count)
        gc.collect()
        grown = resident() - empty
        await crowd.reach(ended=count // 10)
        sampler.cancel()
        await first.leave()
        await crowd.leave()
    return {"bytes": grown / count, "lag": quantile(found, 0.99), "longest": max(found)}


async def asked(url: str, count: int) -> dict[str, float]:
    """The most questions in one second, as a part of what the policy allows."""
    times: list[float] = []
    poll = PollPolicy(rate=RATE)
    async with ModelsLab("key", base_url=url, max_jobs=count, poll=poll) as client:
        transport = client._session.transport
        post = transport.post

        async def noted(path: str, *rest: Any, paid: bool = False, **more: Any) -> Any:
            if not paid:
                times.append(time.perf_counter())
            return await post(path, *rest, paid=paid, **more)

        transport.post = noted  # type: ignore[method-assign]
        await Crowd(client, range(count)).reach(ended=count)
    most = max(bisect_left(times, at + 1.0) - number for number, at in enumerate(times))
    return {"most": most / RATE, "polls": len(times) / count}


async def files(url: str, count: int) -> dict[str, float]:
    """Peak of resident memory, in MiB, with all jobs and their files."""
    poll = PollPolicy(min_interval=0.001, first=0.001, rate=5000)
    with tempfile.TemporaryDirectory() as folder:
        async with ModelsLab("key", base_url=url, poll=poll) as client:

            async def one(number: int) -> None:
                generation = await client.generate(MusicGen(f"piece {number}"))
                await client.download(generation, to=folder)

            await asyncio.gather(*(one(number) for number in range(count)))
            assert len(os.listdir(folder)) == count
    return Meter().read()


def run(quick: bool = False) -> Result:
    """All four."""
    count, budgeted, sizes = (500, 100, (1, 50)) if quick else (10_000, 1000, (1, 1000))
    with serving("benchmarks.services", *(_SHORT if quick else _LONG)) as server:
        crowd = child(MODULE, "many", server["url"], count)
    with serving("benchmarks.services", *_SHORT) as server:
        budget = child(MODULE, "asked", server["url"], budgeted)
    with serving("benchmarks.services", "--mean", 0, "--spread", 0) as server:
        peaks = {size: child(MODULE, "files", server["url"], size)["rss"] for size in sizes}
    name = f"{count:,} jobs in flight"
    figures = [
        Figure(name, "memory a job", [crowd["bytes"] / 1000], "KB", Goal(12)),
        Figure(name, "event loop lag, p99", [crowd["lag"] * 1000], "ms", Goal(50)),
        Figure(name, "event loop lag, longest", [crowd["longest"] * 1000], "ms"),
        Figure(f"{budgeted:,} jobs", "polls in a second / rate", [budget["most"]], "", Goal(1.05)),
        Figure(f"{budgeted:,} jobs", "polls a job", [budget["polls"]]),
        *(Figure(f"{size:,} files", "peak memory", [peak], "MiB") for size, peak in peaks.items()),
    ]
    return Result("in_flight", figures, raw=[crowd, budget, peaks])


if __name__ == "__main__":
    import json

    logging.disable(logging.WARNING)  # thousands of jobs are left unfinished on purpose
    step = {"many": many, "asked": asked, "files": files}[sys.argv[1]]
    print(json.dumps(asyncio.run(step(sys.argv[2], int(sys.argv[3])))))
