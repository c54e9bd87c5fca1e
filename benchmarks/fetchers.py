"""Whoever brings files to disk: ``python -m benchmarks.fetchers NAME URL SIZE N C FOLDER``.

N times the same URL, C at once, to ``0.wav`` and on in the folder, each in the way that its own
documentation shows. A small file, `warm.wav` beside the one in the URL, is fetched before the
measuring begins, so that imports are not counted. A program is counted from its start to its end.
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
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from attrs import frozen

from .measuring import OURS, Meter, quantile

WARM = "warm.wav"
WARM_SIZE = 64 * 1024
_BUFFER = 64 * 1024
_LARGE_BUFFER = 1024 * 1024
_ENOUGH = 2**32
_BEAT = 0.005


@frozen
class Order:
    """What to fetch, and where to."""

    url: str
    size: int
    count: int
    at_once: int
    folder: Path

    def path(self, number: int) -> Path:
        return self.folder / f"{number}.wav"

    def check(self) -> None:
        """Whether all is there: one who leaves something out would be quick."""
        sizes = [self.path(number).stat().st_size for number in range(self.count)]
        assert sizes == [self.size] * self.count, sizes[:3]


async def _each(order: Order, one: Callable[[int], Awaitable[object]]) -> None:
    numbers = iter(range(order.count))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(worker() for _ in range(order.at_once)))


def _each_in_threads(order: Order, one: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(order.at_once) as threads:
        list(threads.map(one, range(order.count)))


# This client


def ours(order: Order) -> dict[str, float]:
    """All that a user gets: hashed, its header judged, synced, and linked to its name."""
    from modelslab_async import DownloadPolicy, ModelsLab, RemoteFile

    lags: list[float] = []

    async def main() -> None:
        async with ModelsLab(
            "key",
            base_url="http://127.0.0.1:9",
            max_downloads=order.at_once,
            download=DownloadPolicy(max_bytes=_ENOUGH),
        ) as client:
            heart = asyncio.create_task(_beat(lags))
            await _each(
                order,
                lambda n: client.download(RemoteFile((order.url,), str(n)), to=order.path(n)),
            )
            heart.cancel()

    asyncio.run(main())
    return {"lag": 1000 * quantile(lags, 0.99)} if lags else {}


async def _beat(lags: list[float]) -> None:
    while True:
        start = time.perf_counter()
        await asyncio.sleep(_BEAT)
        lags.append(time.perf_counter() - start - _BEAT)


def ours_unsynced(order: Order) -> None:
    """What fsync costs is what this lacks. There is no such setting: a file might be lost."""
    vars(os)["fsync"] = lambda _: None
    ours(order)


def ours_unsynced_unhashed(order: Order) -> None:
    """What sha256 costs is what this lacks beside the one before."""
    from modelslab_async._engine import partfile

    class Nothing:
        def update(self, _: object) -> None:
            """Take no time."""

        def hexdigest(self) -> str:
            return ""

    vars(partfile)["hashlib"] = SimpleNamespace(sha256=Nothing)
    ours_unsynced(order)


# Scripts on aiohttp


def aiohttp_64k(order: Order) -> None:
    """The loop in aiohttp's own guide, which writes on the event loop."""
    aiohttp: Any = import_module("aiohttp")

    async def main() -> None:
        async with aiohttp.ClientSession() as session:

            async def one(number: int) -> None:
                async with session.get(order.url) as answer:
                    with order.path(number).open("wb") as file:
                        async for data in answer.content.iter_chunked(_BUFFER):
                            file.write(data)

            await _each(order, one)

    asyncio.run(main())


def aiohttp_writer_thread(order: Order) -> None:
    """As quick as a script gets: large buffers, all written by one thread."""
    aiohttp: Any = import_module("aiohttp")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as writer:
            async with aiohttp.ClientSession(read_bufsize=_LARGE_BUFFER) as session:

                async def one(number: int) -> None:
                    async with session.get(order.url) as answer:
                        with order.path(number).open("wb", buffering=0) as file:
                            async for data in answer.content.iter_chunked(_LARGE_BUFFER):
                                await loop.run_in_executor(writer, file.write, data)

                await _each(order, one)

    asyncio.run(main())


# Other libraries


def httpx(order: Order) -> None:
    library: Any = import_module("httpx")

    async def main() -> None:
        async with library.AsyncClient() as client:

            async def one(number: int) -> None:
                async with client.stream("GET", order.url) as answer:
                    with order.path(number).open("wb") as file:
                        async for data in answer.aiter_bytes():
                            file.write(data)

            await _each(order, one)

    asyncio.run(main())


def requests(order: Order) -> None:
    library: Any = import_module("requests")
    with library.Session() as session:
        session.mount("http://", library.adapters.HTTPAdapter(pool_maxsize=order.at_once))

        def one(number: int) -> None:
            with session.get(order.url, stream=True) as answer, order.path(number).open("wb") as to:
                for data in answer.iter_content(_BUFFER):
                    to.write(data)

        _each_in_threads(order, one)


def huggingface_hub(order: Order) -> None:
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    library: Any = import_module("huggingface_hub.file_download")

    def one(number: int) -> None:
        with order.path(number).open("wb") as file:
            library.http_get(order.url, file, expected_size=order.size)

    _each_in_threads(order, one)


def parfive(order: Order) -> None:
    library: Any = import_module("parfive")
    downloader = library.Downloader(
        max_conn=order.at_once, max_splits=1, progress=False, overwrite=True
    )
    for number in range(order.count):
        path = order.path(number)
        downloader.enqueue_file(order.url, path=path.parent, filename=path.name)
    downloader.download()


# Programs


def curl(order: Order) -> None:
    parallel = ["--parallel", "--parallel-max", str(order.at_once)] if order.at_once > 1 else []
    pairs = "".join(
        f'url = "{order.url}"\noutput = "{order.path(number)}"\n' for number in range(order.count)
    )
    command = ["curl", "--silent", "--fail", *parallel, "--config", "-"]
    subprocess.run(command, input=pairs, text=True, capture_output=True, check=True)


def aria2c(order: Order) -> None:
    lines = "".join(f"{order.url}\n out={number}.wav\n" for number in range(order.count))
    limits = [f"--max-concurrent-downloads={order.at_once}", "--split=1", "--no-conf"]
    write = ["--file-allocation=none", "--allow-overwrite=true", f"--dir={order.folder}"]
    with tempfile.NamedTemporaryFile("w") as wanted:
        wanted.write(lines)
        wanted.flush()
        command = ["aria2c", "--quiet", *limits, *write, f"--input-file={wanted.name}"]
        subprocess.run(command, check=True)


PROGRAMS = {"curl": curl, "aria2c": aria2c}
LIBRARIES = {
    "httpx": httpx,
    "requests": requests,
    "huggingface_hub": huggingface_hub,
    "parfive": parfive,
}
SCRIPTS = {
    OURS: ours,
    f"{OURS}, no fsync": ours_unsynced,
    f"{OURS}, no fsync, no hash": ours_unsynced_unhashed,
    "aiohttp, 64 KiB writes": aiohttp_64k,
    "aiohttp, writer thread": aiohttp_writer_thread,
}
_ALL: dict[str, Callable[[Order], dict[str, float] | None]] = {
    **SCRIPTS,
    **PROGRAMS,
    **LIBRARIES,
}


def _cpu_of_programs() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(name: str, order: Order) -> dict[str, float]:
    """Fetch, and tell what it cost: MB/s, CPU seconds, and MiB of memory that were added."""
    fetch = _ALL[name]
    with tempfile.TemporaryDirectory(dir=order.folder) as folder:
        warm = f"{order.url.rpartition('/')[0]}/{WARM}"
        fetch(Order(warm, WARM_SIZE, 1, 1, Path(folder)))
    before = _cpu_of_programs()
    meter = Meter()
    told = fetch(order) or {}
    cost = meter.read()
    order.check()
    return {
        "rate": order.size * order.count / cost["wall"] / 1e6,
        "cpu": cost["cpu"] + _cpu_of_programs() - before,
        "memory": cost["rss_growth"],
        **told,
    }


if __name__ == "__main__":
    name, url, size, count, at_once, folder = sys.argv[1:]
    order = Order(url, int(size), int(count), int(at_once), Path(folder))
    print(json.dumps(measured(name, order)))
