"""Kill a server three times in the middle of a batch, and call it again with the same arguments.

``python -m tests.mcp.kills --seeds 50``

The account book of the sandbox is the judge: no track is paid for twice, and each is either on disk
or listed as unknown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import tempfile
from collections import Counter
from pathlib import Path

from attrs import frozen
from mcp import Client

from modelslab_async.batch import Reader, RowState, runner_of
from modelslab_async.sandbox import Sandbox, Scenario

from .servers import connected, numbered, told, tracks

BATCH = "waltzes"
TRACKS = 20
KILLS = 3


@frozen
class Result:
    """What is left of a batch.

    Attributes:
        debits: of the account.
        jobs: how many each prompt has.
        states: of the tracks.
        unknown: tracks that `reconcile_music` lists.
        files: on disk.
    """

    debits: int
    jobs: Counter[str]
    states: Counter[RowState]
    unknown: int
    files: int

    def check(self) -> None:
        """No track has two jobs, and none is lost."""
        assert max(self.jobs.values()) == 1, self
        assert self.debits == len(self.jobs), self
        assert self.files == self.states[RowState.DONE], self
        assert self.unknown == self.states[RowState.AMBIGUOUS], self
        assert self.files + self.unknown == TRACKS, self
        # What is unknown may have no job, and nothing else may.
        assert TRACKS - self.unknown <= self.debits <= TRACKS, self


async def trial(seed: int, root: Path) -> Result:
    """One batch of a seed, whatever is killed when."""
    chance = random.Random(seed)
    scenario = Scenario(generation_seconds=(0.02, 0.2), eta="float", fetch_meta=True)
    arguments = {"batch": BATCH, "tracks": tracks(*numbered(TRACKS)), "wait": 45}
    async with Sandbox(scenario, seed=seed) as box:
        for kill_at in sorted(chance.sample(range(1, TRACKS), KILLS)):
            if len(box.book.debits) < kill_at:
                with contextlib.suppress(Exception):  # the client says in many ways that it is gone
                    async with connected(box, root) as client:
                        await _kill_at(client, box, root, kill_at, arguments, chance)
        async with connected(box, root) as client:
            answer = told(await client.call_tool("make_music", arguments))
            while answer["next"].startswith("wait_music"):
                answer = told(await client.call_tool("wait_music", {"batch": BATCH}))
            unknown = told(await client.call_tool("reconcile_music", {"batch": BATCH}))["unknown"]
        with Reader.open(root / BATCH) as reader:
            states = Counter({state: n for state, n in reader.counts().items() if n})
        return Result(
            debits=len(box.book.debits),
            jobs=Counter(job.prompt for job in box.book.jobs.values()),
            states=states,
            unknown=len(unknown),
            files=len(list((root / BATCH).glob("*.wav"))),
        )


async def _kill_at(
    client: Client,
    box: Sandbox,
    root: Path,
    debits: int,
    arguments: dict[str, object],
    chance: random.Random,
) -> None:
    call = asyncio.create_task(client.call_tool("make_music", arguments))
    while len(box.book.debits) < debits and not call.done():
        await asyncio.sleep(0.001)
    await asyncio.sleep(chance.uniform(0, 0.02))
    running = runner_of(root / BATCH)
    if running is not None and running.pid is not None:
        os.kill(running.pid, signal.SIGKILL)
    await call


async def main(seeds: int) -> None:
    """All seeds, and what they came to."""
    files = unknown = 0
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as directory:
            result = await trial(seed, Path(directory, "music"))
        result.check()
        files, unknown = files + result.files, unknown + result.unknown
    print(f"{seeds} seeds: {files} files, {unknown} unknown and told of, none paid for twice")  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    asyncio.run(main(parser.parse_args().seeds))
