"""Ask hostile servers a question in a process of its own, and tell what each answer cost.

`python -m tests.security.bounded WAY URL...`: one line of JSON on stdout, a list in the same order.
Each server is asked twice, and costs what the second time costs: its first answer is a short one.
Memory is the highest there was meanwhile above that before; the time is the processor's, as a
multiple of the `reference`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp

from modelslab_async import (
    DownloadPolicy,
    ModelsLab,
    ModelsLabError,
    MusicGen,
    PollPolicy,
    RemoteFile,
)

from ..support.tracks import downloader

MIB = 2**20
POLL = PollPolicy(timeout=10.0)
DOWNLOAD = DownloadPolicy(patience=0.0, first_wait=0.01, timeout=5.0, max_bytes=100 * MIB)


async def submit(url: str) -> None:
    async with ModelsLab("key-of-no-account", base_url=url, submit_timeout=10.0) as client:
        await client.submit(MusicGen("quiet", max_new_token=256))


async def slowly(url: str) -> None:
    async with ModelsLab("key-of-no-account", base_url=url, submit_timeout=1.0) as client:
        await client.submit(MusicGen("quiet", max_new_token=256))


async def poll(url: str) -> None:
    async with ModelsLab("key-of-no-account", base_url=url, poll=POLL) as client:
        await client.job(7).refresh()


async def balance(url: str) -> None:
    async with ModelsLab("key-of-no-account", base_url=url, poll=POLL) as client:
        await client.balance()


async def download(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with downloader(DOWNLOAD) as client:
            await client.download(RemoteFile((f"{url}/a.wav",)), f"{folder}/")


async def naively(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as answer:
        await answer.read()


WAYS: dict[str, Callable[[str], Awaitable[None]]] = {
    way.__name__: way for way in (submit, slowly, poll, balance, download, naively)
}


def highest() -> int:
    """The most memory that this process had at once since it was `forgotten`, in bytes.

    Not `ru_maxrss`, which a process has from the one that started it.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def forgotten() -> int:
    """Forget how high it was (proc_pid_clear_refs(5)); returns how high it is now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return highest()


async def outcome(way: Callable[[str], Awaitable[None]], url: str) -> str:
    try:
        await way(url)
    except (ModelsLabError, aiohttp.ClientError) as error:
        return type(error).__name__
    return "done"


def seconds(work: Callable[[], object]) -> float:
    """The processor's time, without the garbage of what was before."""
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def reference() -> float:
    """Seconds of work that tell how fast this processor is now: 45 ms on one of 2023."""

    def work() -> None:
        for number in range(1_000_000):
            str(number)

    return seconds(work)


async def cost(name: str, url: str, alone: float) -> dict[str, object]:
    await outcome(WAYS[name], url)
    memory, start = forgotten(), time.process_time()
    end = await outcome(WAYS[name], url)
    took = time.process_time() - start
    return {"outcome": end, "mib": (highest() - memory) / MIB, "times": took / alone}


async def costs(name: str, urls: Sequence[str]) -> list[dict[str, object]]:
    alone = reference()
    return [await cost(name, url, alone) for url in urls]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(costs(sys.argv[1], sys.argv[2:]))))
