"""Whether the account's queue is kept full: ``python -m benchmarks queue_kept_full``.

A server that makes one job at a time, and takes five into its queue, is given 200 jobs by a client
with default settings. As a slot is given back when the end of its job is known, and the server has
four others to go on with until then, it should never wait for us. Idle is the time in which it had
no job, as a part of the time from its first start to its last end. A job here takes 0.3 s, which is
shorter than any that is real: the less a job takes, the sooner a late question leaves the queue
empty. What the etas say is how long a job takes when nobody is before it, and so five times too
little.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from modelslab_async import ModelsLab, MusicGen

from .measuring import Figure, Goal, Result, child, quantile, serving
from .recorded import lags, record

MODULE = "benchmarks.queue_kept_full"
SECONDS = 0.3
QUEUE = 5


async def generate(url: str, count: int) -> float:
    """All jobs, without their files; the questions asked about each."""
    async with ModelsLab("key", base_url=url, max_jobs=QUEUE) as client:
        requests = (MusicGen(f"piece {number}") for number in range(count))
        made = await asyncio.gather(*(client.generate(request) for request in requests))
    return sum(one.polls for one in made) / count


def idle(jobs: Sequence[dict[str, Any]]) -> float:
    """The part of the time that the server had nothing to do."""
    gaps = sum(max(0.0, two["started"] - one["finished"]) for one, two in pairwise(jobs))
    return float(gaps / (jobs[-1]["finished"] - jobs[0]["started"]))


def run(quick: bool) -> Result:
    """The client against the sequential server."""
    raw = [measure(10 if quick else 200) for _ in range(1 if quick else 3)]
    figures = [
        Figure("server", "idle", [100 * one["idle"] for one in raw], "%", Goal(0.5)),
        Figure("client", "polls a job", [one["polls"] for one in raw]),
        Figure("client", "lag p95", [1e3 * one["late"] for one in raw], "ms"),
        Figure("client", "jobs refused", [one["refused"] for one in raw]),
    ]
    return Result("queue_kept_full", figures, raw=raw)


def measure(count: int) -> dict[str, float]:
    """One run."""
    options = ("--mean", SECONDS, "--spread", SECONDS / 5, "--queue", QUEUE, "--workers", 1)
    with serving("benchmarks.services", *options) as service:
        polls = child(MODULE, service["url"], count)
        found = record(service["url"])
    jobs = sorted(found["jobs"], key=lambda job: job["started"])
    refused = found["requests"].get("refused", 0)
    return {
        "idle": idle(jobs),
        "polls": polls,
        "late": quantile(lags(jobs), 0.95),
        "refused": refused,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(generate(sys.argv[1], int(sys.argv[2])))))
