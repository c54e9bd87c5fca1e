"""What bringing files to disk costs: ``python -m benchmarks.downloads``.

One file of 1 GiB, and 2,000 files of 640 KB at 16 at once, over loopback from nginx (without it,
from a `sendfile` server of our own). This client does all that it does for a user: each file is
hashed, its header is judged, it is synced before it gets its name, and its directory after. Nobody
else here does any of that. What hashing and syncing take is shown apart, by leaving them out.

The files go to a directory below ``TMPDIR``, and are removed and synced away before the next turn.
CPU is that of the whole process, all threads, system calls included; the server's is not in it.

What bounds it, by CPU time on a machine with two cores (AMD EPYC with SHA-NI, ext4), a part of one
of which the server needs. sha256 runs at 1.8 GB/s: 0.6 s for 1 GiB. The kernel's copy to the event
loop's thread takes 0.3 s for 1 GiB, what aiohttp does with the bytes as much again, and writing
them 0.25 s or more. All together is 1.8 s a GB, the server takes 0.3 s: on two free cores no more
than 1,000 MB/s can come of it, and without hashing 1,400. Syncing adds little, as the disk begins
early. A file of 640 KB takes 0.4 ms to be made, written and linked, 0.35 ms to be hashed, 0.3 to
0.6 ms to be synced with its directory, and a little over 1 ms of Python and other system calls,
where curl is done with it after 1 ms: curl's parallel mode, which does neither of the two, stays
ahead where there are two cores.

Tried and left out, since it paid nothing: `writev` and hashing piece by piece, buffers of 256 KiB,
512 KiB and 2 MiB, one sync of the directory for all files that wait for one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from .fetchers import LIBRARIES, PROGRAMS, SCRIPTS, WARM, WARM_SIZE
from .file_server import NGINX, serving_files
from .measuring import OURS, Figure, Goal, Result, child, ratios, rotated, show

Run = Mapping[str, Any]


@frozen
class Load:
    """What is to be fetched in one run."""

    name: str
    file: str
    size: int
    count: int
    at_once: int
    repeats: int


ONE_LARGE = Load("1 x 1 GiB", "large.wav", 2**30, 1, 1, 5)
MANY_SMALL = Load("2,000 x 640 KB, 16 at once", "small.wav", 640_000, 2000, 16, 5)
QUICK = (
    Load("1 x 16 MiB", "large.wav", 2**24, 1, 1, 1),
    Load("64 x 640 KB, 16 at once", "small.wav", 640_000, 64, 16, 1),
)
FASTER_THAN = {
    "curl": {ONE_LARGE: Goal(1.2, at_least=True), MANY_SMALL: Goal(1.0, at_least=True)},
    "huggingface_hub": {ONE_LARGE: Goal(4.0, at_least=True)},
}
LITTLE_MEMORY = {ONE_LARGE: Goal(16.0)}
SHORT_LAG = {MANY_SMALL: Goal(50.0)}


def make_wav(path: Path, size: int) -> None:
    """A whole song of noise, whose header says so."""
    data = size - 44
    header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", size - 8, b"WAVEfmt ", 16, 1, 2, 44_100,
                         176_400, 4, 16, b"data", data)  # fmt: skip
    noise = os.urandom(2**20)
    with path.open("wb") as file:
        file.write(header)
        for start in range(0, data, len(noise)):
            file.write(noise[: data - start])


def installed() -> tuple[list[str], list[str]]:
    """Who can be measured here, and notes about who cannot."""
    there = {name: shutil.which(name) is not None for name in PROGRAMS}
    there |= {name: importlib.util.find_spec(name) is not None for name in LIBRARIES}
    missing = [f"{name} is not installed" for name, found in there.items() if not found]
    if NGINX is None:
        missing.append("nginx is not installed (Debian: nginx-light): a server of ours stood in")
    return [*SCRIPTS, *(name for name, found in there.items() if found)], missing


def runs_of(load: Load, names: Sequence[str], origin: str) -> Iterator[tuple[str, Run]]:
    """Each by turns, in a process and a directory of its own."""
    for name in rotated(names, load.repeats):
        with tempfile.TemporaryDirectory() as folder:
            url = f"{origin}/{load.file}"
            order = (name, url, load.size, load.count, load.at_once, folder)
            yield name, child("benchmarks.fetchers", *order)
        os.sync()  # what one left to be written must not slow down the next


def figures_of(load: Load, runs: Mapping[str, Sequence[Run]]) -> Iterator[Figure]:
    rates = {name: [run["rate"] for run in mine] for name, mine in runs.items()}
    gigabytes = load.size * load.count / 1e9
    for name, mine in runs.items():
        yield Figure(name, f"{load.name}: speed", rates[name], "MB/s")
        cpu = [run["cpu"] / gigabytes for run in mine]
        yield Figure(name, f"{load.name}: CPU a GB", cpu, "s")
        if name not in PROGRAMS:
            memory = [run["memory"] for run in mine]
            goal = LITTLE_MEMORY.get(load) if name == OURS else None
            yield Figure(name, f"{load.name}: memory added", memory, "MiB", goal)
    lags = [run["lag"] for run in runs[OURS] if "lag" in run]
    if lags:
        yield Figure(OURS, f"{load.name}: loop lag p99", lags, "ms", SHORT_LAG.get(load))
    for other, goals in FASTER_THAN.items():
        if other in runs:
            ratio = ratios(rates[OURS], rates[other])
            yield Figure(OURS, f"{load.name}: speed / {other}", ratio, "", goals.get(load))


def run(quick: bool) -> Result:
    names, notes = installed()
    figures: list[Figure] = []
    raw: list[Run] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as scratch,
        serving_files(Path(folder), Path(scratch)) as origin,
    ):
        make_wav(Path(folder, WARM), WARM_SIZE)
        for load in QUICK if quick else (ONE_LARGE, MANY_SMALL):
            make_wav(Path(folder, load.file), load.size)
            runs: dict[str, list[Run]] = {name: [] for name in names}
            for name, cost in runs_of(load, names, origin):
                runs[name].append(cost)
                raw.append({"load": load.name, "subject": name, **cost})
            figures += figures_of(load, runs)
    return Result("downloads", figures, notes, raw)


if __name__ == "__main__":
    import sys

    show(run("--quick" in sys.argv))
