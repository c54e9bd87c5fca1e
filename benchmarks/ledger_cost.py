"""What it costs that a batch is durable: ``python -m benchmarks ledger_cost``.

*Ledger*: the rows of a batch with instant generation, each from planned to done through the same
writes, in the same order, that a run makes (intent, answer, ready, done), 40 rows at a time. CPU
time is that of all threads of the process; it takes in SQLite, its thread, and all waiting for it.

*Plan and resume*: a batch of so many rows planned without a submit, opened again to see what is
left, and opened with all rows given again, each to be compared. The ratio of times from 10,000 rows
to 100,000 says whether cost grows with the count alone; peak memory, whether anything grows at all.
The ids of rows are hashes and come in no order, so what knows them outgrows SQLite's caches of 2 MB
at about 50,000 rows, and its pages then go to a file and back: planning the last 10,000 of 100,000
rows takes about a fifth more CPU than the first. Caches of 16 MB did not lower the total by more
than its spread, and the garbage collector has no part: what it looks through does not grow.

*Whole runs*: the same jobs, to their files on disk, once as a batch and once as `generate` and
`download` in tasks, against the same server. The difference is what durability costs in all:
ledger, results file, names, and the runner.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from modelslab_async import LimitReached, Limits, ModelsLab, MusicGen, PollPolicy, Succeeded
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._intake import plan_of
from modelslab_async.batch._ledger import Ledger

from .measuring import Figure, Goal, Meter, Result, child, ratios, serving

MODULE = "benchmarks.ledger_cost"
STEPS = ("plan", "resume", "same rows")
_AT_ONCE = 40
_NOTHING = Limits(max_jobs_total=0)
_SHA = "0" * 64
_HANDLE = json.dumps(
    {
        "version": 1,
        "id": "%(row)s",
        "track_id": 1000000000,
        "path": "/api/v6/voice/fetch/%(row)s",
        "links": {"output": [], "proxy": [], "future": ["https://r2.example.dev/%(row)s.wav"]},
    }
)
_POLL = PollPolicy(first=0.001, min_interval=0.001, rate=5000)


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


_Part = Callable[[Path, int, str], Coroutine[Any, Any, dict[str, float]]]


# In the child


async def ledger(folder: Path, count: int, _: str = "") -> dict[str, float]:
    """All rows through a ledger, as a run takes them, and nothing else."""
    meter = Meter()
    async with Ledger(folder) as book:
        await book.plan(plan_of(Many(count)))
        numbers = iter(range(1, count + 1))
        await asyncio.gather(*(_through(book, numbers) for _ in range(_AT_ONCE)))
    return meter.read()


async def _through(book: Ledger, numbers: Iterator[int]) -> None:
    for row in numbers:
        await book.write(changes.intent(row, 10**9 + row, 1))
        await book.write(changes.accepted(row, str(row), _HANDLE % {"row": row}))
        await book.row(row)
        await book.write(changes.ready(row, _HANDLE % {"row": row}, polls=1))
        await book.write(
            changes.done(row, f"{row:05}.wav", sha256=_SHA, size=1, seconds=10.0, integrity="exact")
        )


async def step(name: str, folder: Path, count: int, _: str = "") -> dict[str, float]:
    """A batch that may pay for nothing."""
    requests = None if name == "resume" else Many(count)
    meter = Meter()
    client = ModelsLab("key", base_url="http://127.0.0.1:9")
    async with client, client.batch(requests, directory=folder, limits=_NOTHING) as outcomes:
        try:
            async for one in outcomes:
                raise AssertionError(f"nothing can be paid for, but {one} was")
        except LimitReached:
            return meter.read()
    raise AssertionError("the limit did not hold")


async def durable(folder: Path, count: int, url: str) -> dict[str, float]:
    """The jobs as a batch."""
    async with ModelsLab("key", base_url=url, poll=_POLL) as client:
        meter = Meter()
        async with client.batch(_pieces(count), directory=folder) as outcomes:
            done = [isinstance(outcome, Succeeded) async for outcome in outcomes]
        assert done == [True] * count
        return meter.read()


async def plain(folder: Path, count: int, url: str) -> dict[str, float]:
    """The jobs in tasks."""
    async with ModelsLab("key", base_url=url, poll=_POLL) as client:
        meter = Meter()

        async def one(request: MusicGen) -> None:
            await client.download(await client.generate(request), to=folder)

        await asyncio.gather(*(one(request) for request in _pieces(count)))
        return meter.read()


def _pieces(count: int) -> list[MusicGen]:
    return [MusicGen(f"piece {number}") for number in range(count)]


# In the parent


def run(quick: bool) -> Result:
    """All three."""
    small, large, jobs = (100, 1000, 20) if quick else (10_000, 100_000, 500)
    repeats = 1 if quick else 3
    alone = [_in_folder("ledger", small)["cpu"] / small for _ in range(repeats)]
    sizes = {count: [_steps(count) for _ in range(repeats)] for count in (1, small, large)}
    with serving("benchmarks.services", "--mean", 0, "--spread", 0) as service:
        pairs = [
            [_in_folder(kind, jobs, service["url"])["cpu"] / jobs for kind in ("durable", "plain")]
            for _ in range(repeats)
        ]
    more = [durable - plain for durable, plain in pairs]
    name = f"{small:,} rows"
    figures = [
        Figure(name, "ledger, CPU a row", [1e3 * one for one in alone], "ms", Goal(0.4)),
        *_growth(sizes, small, large),
        Figure(f"{jobs} jobs", "as a batch, CPU", [1e3 * one for one, _ in pairs], "ms"),
        Figure(f"{jobs} jobs", "in tasks, CPU", [1e3 * one for _, one in pairs], "ms"),
        Figure(f"{jobs} jobs", "durability, CPU", [1e3 * one for one in more], "ms"),
    ]
    return Result("ledger_cost", figures, raw=[alone, sizes, pairs])


_Steps = dict[str, dict[str, float]]


def _growth(sizes: dict[int, list[_Steps]], small: int, large: int) -> list[Figure]:
    figures = []
    goal = Goal(1.05 * large / small)
    for name in STEPS:
        little, much = ([one[name]["cpu"] for one in sizes[count]] for count in (small, large))
        figures.append(
            Figure(name, f"CPU, {large:,} by {small:,} rows", ratios(much, little), "", goal)
        )
        figures.append(
            Figure(name, f"{large:,} rows", [one[name]["wall"] for one in sizes[large]], "s")
        )
        more = [
            one[name]["rss"] - least[name]["rss"]
            for one, least in zip(sizes[large], sizes[small], strict=True)
        ]
        figures.append(Figure(name, f"memory beyond {small:,} rows", more, "MiB", Goal(4)))
    return figures


def _in_folder(kind: str, *rest: object) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, float] = child(MODULE, kind, folder, *rest)
        return found


def _steps(count: int) -> _Steps:
    with tempfile.TemporaryDirectory() as folder:
        return {name: child(MODULE, name, folder, count) for name in STEPS}


def main(kind: str, folder: str, count: str, url: str = "") -> None:
    """In the child: one measurement."""
    parts: dict[str, _Part] = {"ledger": ledger, "durable": durable, "plain": plain}
    part = parts[kind] if kind in parts else partial(step, kind)
    print(json.dumps(asyncio.run(part(Path(folder), int(count), url))))


if __name__ == "__main__":
    main(*sys.argv[1:])
