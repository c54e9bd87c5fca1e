"""Cut the power at any point of a recorded batch: ``python -m tests.simulation.power``.

The calls of the product to the kernel are recorded once. Then, for as many points as wanted, a
disk is made as a power loss there could have left it, and the product opens what it finds: all
that was acknowledged must be there, and each file that the ledger calls done must be whole.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import Factory, define, fields, frozen

from .kill_sweep import sandbox
from .power_child import ACKS, CONTROLS, OUT, WAYS
from .power_disk import Disk, File, Folder, Write
from .power_judge import Promises, Verdict, judge
from .power_trace import MISSING, Call, calls, can_trace, record

ROWS: Final = 8


class Replay:
    """The recorded calls, done again on a disk that forgets."""

    def __init__(self, root: Path) -> None:
        self.disk = Disk(root)
        self.promises = Promises()
        self.told: list[str] = []
        self._acks = root / ACKS

    def do(self, call: Call) -> bool:
        """Do one; False if it is nothing to this disk."""
        if call.is_send:
            return False
        if not self._touched(call).is_relative_to(self.disk.root):
            return False
        if call.name == "write" and call.file == self._acks:
            self._hear(call.data.decode())
            return False
        if call.name != "openat" or "O_CREAT" in call.args or "O_TRUNC" in call.args:
            return self._act(call)
        return False

    def _hear(self, text: str) -> None:
        self.told += text.splitlines()
        for line in text.splitlines():
            self.promises.take(line)

    def _touched(self, call: Call) -> Path:
        return call.paths[-1] if _quoted(call) else call.file

    def _act(self, call: Call) -> bool:
        match call.name:
            case "write" | "pwrite64":
                self._write(call)
            case "ftruncate":
                self.disk.file(call.file).take(Write(call.last_number, None, call.ended))
            case "fsync" | "fdatasync":
                self._sync(call)
            case "openat":
                return self._open(call)
            case "mkdir" | "mkdirat":
                return self._make_folder(call)
            case "link" | "linkat":
                old, new = call.paths
                self.disk.rename({new: self.disk.file(old)}, call.ended)
            case "rename" | "renameat" | "renameat2":
                old, new = call.paths
                self.disk.rename({old: None, new: self.disk.file(old)}, call.ended)
            case "unlink" | "unlinkat":
                self.disk.rename({call.paths[0]: None}, call.ended)
            case _:
                raise AssertionError(f"a call that is not understood: {call.name}")
        return True

    def _write(self, call: Call) -> None:
        file = self.disk.file(call.file)
        # Without an offset the product only ever writes at the end of a file.
        offset = call.last_number if call.name == "pwrite64" else len(file.live)
        file.take(Write(offset, call.data[: call.result], call.ended))

    def _sync(self, call: Call) -> None:
        found = self.disk.find(call.file)
        assert found is not None, call.file
        found.sync(call.begun)

    def _open(self, call: Call) -> bool:
        path = call.paths[-1]
        found = self.disk.find(path)
        if path == self._acks:
            return False
        if found is None:
            self.disk.rename({path: File()}, call.ended)
        elif isinstance(found, File) and "O_TRUNC" in call.args:
            found.take(Write(0, None, call.ended))
        else:
            return False
        return True

    def _make_folder(self, call: Call) -> bool:
        path = call.paths[-1]
        if path == self.disk.root:
            return False
        self.disk.rename({path: Folder()}, call.ended)
        return True


def _quoted(call: Call) -> bool:
    return call.name not in ("write", "pwrite64", "ftruncate", "fsync", "fdatasync")


def _moment(call: Call) -> int:
    """What is told is told when it leaves; what is done is done when it has ended."""
    told = call.is_send or (call.name == "write" and call.file.name == ACKS)
    return call.begun if told else call.ended


@define
class Tally:
    """What became of many power losses."""

    states: int = 0
    bad: list[tuple[int, Verdict]] = Factory(list)

    def add(self, seed: int, verdict: Verdict) -> None:
        self.states += 1
        if verdict != Verdict():
            self.bad.append((seed, verdict))

    def count(self, name: str) -> int:
        """In how many states something of this kind was found."""
        return sum(bool(getattr(verdict, name)) for _, verdict in self.bad)

    def __str__(self) -> str:
        kinds = (field.name for field in fields(Verdict))
        most = max((verdict.lost for _, verdict in self.bad), default=0)
        found = ", ".join(f"{self.count(kind)} {kind}" for kind in kinds)
        return f"{self.states} states: {found}; at most {most} acknowledged steps lost at once"


@frozen
class Recording:
    """What the product did, one way after another."""

    folder: Path
    calls: list[Call]

    @classmethod
    def make(cls, folder: Path, ways: tuple[str, ...] = tuple(WAYS), rows: int = ROWS) -> Recording:
        """Let a child work, and watch it."""
        child = [sys.executable, "-m", f"{__package__}.power_child"]
        with sandbox() as box:
            command = [*child, str(folder), box.url, box.key, str(rows), *ways]
            record(command, folder / "trace")
        return cls(folder, sorted(calls(folder / "trace", folder), key=_moment))

    def replay(self, way: str) -> Replay:
        """The beginning of this way."""
        return Replay(self.folder / way)

    def steps(self, way: str) -> Iterator[tuple[Call, Replay]]:
        """Each call that changed this way's disk, and how things stand after it."""
        replay = self.replay(way)
        for call in self.calls:
            if replay.do(call):
                yield call, replay

    def whole(self, way: str) -> set[str]:
        """The hashes of the files as they should be."""
        files = (self.folder / way / OUT).glob("*.wav")
        return {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def lose_power(self, way: str, states: int, seed: int = 0) -> Tally:
        """So many power losses, spread over all points of the run."""
        points = sum(1 for _ in self.steps(way))
        dice = random.Random(seed)
        wanted: defaultdict[int, list[int]] = defaultdict(list)
        for state in range(states):
            point = state % points if state + points <= states else dice.randrange(points)
            wanted[point].append(state)
        tally, whole = Tally(), self.whole(way)
        for point, (_, replay) in enumerate(self.steps(way)):
            for state in wanted[point]:
                found = replay.disk.after_loss(random.Random(f"{seed} {state}"))
                tally.add(state, judge(found, replay.promises, whole))
        return tally


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.power")
    parser.add_argument("--states", type=int, default=500, help="a tenth of it for each control")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=ROWS)
    given = parser.parse_args()
    if not can_trace():
        parser.error(MISSING)
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        recording = Recording.make(Path(folder), rows=given.rows)
        for way in WAYS:
            start = time.process_time()
            states = given.states // (10 if way in CONTROLS else 1)
            tally = recording.lose_power(way, states, given.seed)
            seconds = time.process_time() - start
            print(f"{way}: {tally}; {seconds:.1f} s of CPU", flush=True)  # noqa: T201
            for state, verdict in tally.bad[:3]:
                print(f"    state {state}: {verdict}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
