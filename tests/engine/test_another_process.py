"""The sandbox as a process of its own, and one session that takes 300 prompts through it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from modelslab_async import ModelsLab, MusicGen, PollPolicy, SavedFile

SCENARIO = {"generation_seconds": [0.02, 0.06], "eta": "float"}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where it listens, and its key, as it says itself."""
    scenario = tmp_path / "scenario.json"
    scenario.write_text(json.dumps(SCENARIO))
    command = [sys.executable, "-m", "modelslab_async", "sandbox", "--json", "--scenario"]
    with subprocess.Popen([*command, str(scenario)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()


@pytest.mark.anyio
async def test_300_prompts_are_300_files_and_300_debits_within_5_places(
    sandbox: dict[str, str], tmp_path: Path
) -> None:
    poll = PollPolicy(first=0.02, min_interval=0.02, rate=1000)
    async with ModelsLab(sandbox["key"], base_url=sandbox["url"], poll=poll) as client:

        async def one(number: int) -> tuple[str, SavedFile]:
            request = MusicGen(f"piece {number}", max_new_token=256, sampling_rate=10000)
            generation = await client.generate(request)
            return generation.id, await client.download(generation, to=tmp_path / "music/")

        pairs = await asyncio.gather(*(one(number) for number in range(300)))
    async with aiohttp.ClientSession(sandbox["url"]) as window:
        book = await read(window, "/sandbox/book")
        for job_id, saved in pairs:
            async with window.get(f"/sandbox/files/{job_id}") as answer:
                assert hashlib.sha256(await answer.read()).hexdigest() == saved.sha256
    assert len(book["debits"]) == len({job for job, _ in book["debits"]}) == 300
    assert book["requests"]["POST /api/v6/voice/music_gen"] == 300  # no 429 was needed
    assert len(list((tmp_path / "music").iterdir())) == 300


async def read(window: aiohttp.ClientSession, path: str) -> Any:
    async with window.get(path) as answer:
        return await answer.json()
