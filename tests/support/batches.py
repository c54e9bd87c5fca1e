"""Run batches in tests, and look at what they left behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import Failed, ModelsLab, ModelsLabError, MusicGen, Succeeded
from modelslab_async.batch._intake import RequestLike
from modelslab_async.batch._rows import Row
from modelslab_async.batch._sqlite.reader import Reader
from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Sandbox, Scenario

Outcome = Succeeded | Failed
SUBMIT = "/api/v6/voice/music_gen"


def quick(*faults: Fault, **fields: Any) -> Scenario:
    """Jobs that are done as soon as they can be asked for."""
    return Scenario(
        **{"generation_seconds": 0.01, "eta": "float", "fetch_meta": True, **fields}, faults=faults
    )


def pieces(count: int, start: int = 1) -> list[MusicGen]:
    """Short requests, each of its own."""
    return [
        MusicGen(f"piece {number}", max_new_token=256, sampling_rate=10000)
        for number in range(start, start + count)
    ]


async def run(
    client: ModelsLab,
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike] | None,
    directory: Path,
    **settings: Any,
) -> list[Outcome]:
    """All outcomes of a batch that gets to its end."""
    async with client.batch(requests, directory=directory, **settings) as outcomes:
        return [outcome async for outcome in outcomes]


async def run_until_stopped(
    client: ModelsLab,
    requests: Iterable[RequestLike] | AsyncIterable[RequestLike] | None,
    directory: Path,
    why: type[Exception],
    match: str | None = None,
    **settings: Any,
) -> list[Outcome]:
    """The outcomes of a batch that stops early, and says so after the last of them."""
    found: list[Outcome] = []

    async def take_all(outcomes: AsyncIterable[Outcome]) -> None:
        async for outcome in outcomes:
            found.append(outcome)  # noqa: PERF401 - those before the error count

    async with client.batch(requests, directory=directory, **settings) as outcomes:
        with pytest.raises(why, match=match):
            await take_all(outcomes)
    return found


def rows(directory: Path) -> list[Row]:
    with Reader.open(directory) as reader:
        return list(reader.each())


def states(directory: Path) -> Counter[RowState]:
    return Counter(row.state for row in rows(directory))


def results(directory: Path) -> list[dict[str, Any]]:
    text = (directory / "results.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def submits(box: Sandbox) -> int:
    return box.book.count("api", SUBMIT)


def paid(box: Sandbox) -> Counter[str]:
    """How many debits each prompt has."""
    return Counter(box.book.jobs[job].prompt for job, _ in box.book.debits)


def errors(outcomes: Iterable[Outcome]) -> dict[int, ModelsLabError]:
    """What went wrong, by row."""
    return {outcome.row: outcome.error for outcome in outcomes if isinstance(outcome, Failed)}


def files(directory: Path) -> set[str]:
    """What lies in the directory beside the ledger and the results."""
    names = {entry.name for entry in directory.iterdir()}
    return {name for name in names - {"results.jsonl"} if not name.startswith("ledger.")} | {
        name for name in names if name.startswith("ledger.rescue")
    }
