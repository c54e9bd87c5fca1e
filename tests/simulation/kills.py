"""Kill a batch with SIGKILL at each of its steps: ``python -m tests.simulation.kills --seeds 20``.

Everything is imported once; each run is a fork. The child counts what it does to the disk, to the
ledger and to its sockets, and dies at one of these steps; another fork goes on with what the first
has left. The sandbox is a process of its own, and its account book is the judge.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final

from attrs import Factory, define

from modelslab_async.batch._sqlite.store import Store

from .kill_sweep import (
    Box,
    Damaged,
    Trial,
    Unlinkable,
    ended,
    forked,
    in_child,
    killed_at_random,
    sandbox,
)

# A kill loses nothing that was written, synced or not, so memory serves as well as a disk.
MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

_DISK: Final = ("write", "pwrite", "link", "unlink", "rename", "replace", "fsync", "ftruncate")
_SENDS: Final = ("send", "sendmsg")
_TAKES: Final = ("recv", "recv_into")
_AT_ONCE: Final = 3
_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"faults": [{"times": None, "probability": 0.3, "on": "submit", "kind": "reset"}]},
    {"faults": [{"times": None, "on": "download", "kind": "delay", "seconds": 0.02}]},
)


@define
class Hooks:
    """Counts the steps that a process takes, and dies at one. Only in a child: nothing is undone.

    Attributes:
        last: the step to die at; 0 for none.
        taken: how many there were, of each kind.
    """

    last: int
    taken: Counter[str] = Factory(Counter)

    def step(self, kind: str) -> None:
        self.taken[kind] += 1
        if self.taken.total() == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        for name in _DISK:
            setattr(os, name, self._before(getattr(os, name), name))
        for name in _SENDS:
            setattr(socket.socket, name, self._of_socket(name, after=True))
        for name in _TAKES:
            setattr(socket.socket, name, self._of_socket(name, after=False))
        Store.transaction = self._around_commit(Store.transaction)  # type: ignore[method-assign]

    def _before(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        @wraps(function)
        def stepping(*args: Any, **kwargs: Any) -> Any:
            self.step(kind)  # after it is before the next
            return function(*args, **kwargs)

        return stepping

    def _of_socket(self, name: str, *, after: bool) -> Callable[..., Any]:
        function = getattr(socket.socket, name)

        @wraps(function)
        def stepping(self_: socket.socket, *args: Any) -> Any:
            if self_.family != socket.AF_INET:  # the event loop's talk with itself
                return function(self_, *args)
            self.step(name)
            result = function(self_, *args)
            if after:  # what comes next may be long in coming
                self.step(f"after {name}")
            return result

        return stepping

    def _around_commit(self, transaction: Callable[..., Any]) -> Callable[..., Any]:
        @contextlib.contextmanager
        def stepping(store: Store) -> Iterator[None]:
            with transaction(store):
                yield
                self.step("commit")
            self.step("after commit")

        return stepping


def run_with_hooks(trial: Trial, last: int, told: Path | None = None) -> None:
    """Run the batch and die at a step; if it gets to its end, write down the steps."""
    hooks = Hooks(last)
    hooks.watch()
    trial.run()
    if told is not None:
        told.write_text(json.dumps(hooks.taken))


def all_steps(trial: Trial, told: Path) -> Counter[str]:
    """The steps of a batch that nobody kills."""
    assert in_child(trial.prepare) == 0
    assert in_child(lambda: run_with_hooks(trial, 0, told)) == 0
    trial.judge()
    return Counter(json.loads(told.read_text()))


def killed_at(trial: Trial, last: int) -> int:
    """Kill the batch at one step, run it again to its end, judge it; see `Trial.judge`."""
    assert in_child(trial.prepare) == 0
    assert in_child(lambda: run_with_hooks(trial, last)) in (0, -signal.SIGKILL)
    assert in_child(trial.run) == 0
    return trial.judge()


@define
class Sweep:
    """One batch, killed at each of its steps in turn, or at ``every`` second or third.

    Attributes:
        steps: what there is to be killed at.
        left: at how many of them a row stayed ambiguous without a job, for its owner to decide.
    """

    steps: Counter[str]
    left: int

    @classmethod
    def of(
        cls,
        box: Box,
        folder: Path,
        name: str,
        rows: int,
        kind: type[Trial] = Trial,
        *,
        every: int = 1,
    ) -> Sweep:
        steps = all_steps(kind(box, folder / "whole", f"{name} whole", rows), folder / "steps")
        killed = range(1, steps.total() + 1, every)
        work = partial(_stride, kind, box, folder, name, rows, killed)
        workers = [forked(partial(work, start)) for start in range(_AT_ONCE)]
        codes = [ended(pid) for pid in workers]
        assert codes == [0] * _AT_ONCE
        return cls(steps, sum(int(told.read_text()) for told in folder.glob("left-*")))


def _warm_up(box: Box, folder: Path, name: str) -> None:
    """What is loaded and compiled on first use is ready in all forks; no thread is forked."""
    Trial(box, folder, name, 1).run()
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join()


def _stride(
    kind: type[Trial], box: Box, folder: Path, name: str, rows: int, killed: range, start: int
) -> None:
    left = 0
    _warm_up(box, folder / f"warm-{start}", f"{name} warm-{start}")
    for n in killed[start::_AT_ONCE]:
        trial = kind(box, folder / f"{n}", f"{name} {n}", rows)
        try:
            left += killed_at(trial, n) > 0
        except AssertionError as error:
            raise AssertionError(f"killed at step {n} of {rows} rows: {error}") from error
    (folder / f"left-{start}").write_text(str(left))


def at_every_step(seed: int) -> None:
    dice = random.Random(seed)
    start, rows, scenario = time.monotonic(), dice.randint(1, 3), dice.choice(_FAULTS)
    with sandbox(**scenario) as box, tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        sweep = Sweep.of(box, Path(folder), f"seed{seed}", rows)
    print(  # noqa: T201
        f"seed {seed}: {rows} rows, killed at each of {sweep.steps.total()} steps; at {sweep.left} "
        f"of them a row was left ambiguous without a job; {time.monotonic() - start:.0f} s",
        flush=True,
    )
    with sandbox() as box, tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        sweep = Sweep.of(box, Path(folder), f"damaged{seed}", rows + 1, Damaged)
    assert sweep.left == 0
    print(  # noqa: T201
        f"seed {seed}: {rows + 1} rows whose files are missing or changed, killed at each of "
        f"{sweep.steps.total()} steps",
        flush=True,
    )
    with sandbox() as box, tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        sweep = Sweep.of(box, Path(folder), f"unlinkable{seed}", rows, Unlinkable)
    print(  # noqa: T201
        f"seed {seed}: {rows} rows without hard links, killed at each of {sweep.steps.total()} "
        f"steps; at {sweep.left} of them a row was left ambiguous without a job",
        flush=True,
    )


def at_random(wanted: int) -> None:
    kills = rounds = 0
    with sandbox() as box, tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        while kills < wanted:
            trial = Trial(box, Path(folder) / f"{rounds}", f"random{rounds}", rows=40)
            kills += killed_at_random(trial, random.Random(rounds), longest=0.4)
            trial.judge()
            rounds += 1
    print(f"{kills} kills at random in {rounds} batches of 40 rows")  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.kills")
    parser.add_argument("--seeds", type=int, default=20, help="sweeps over all steps")
    parser.add_argument("--random", type=int, default=200, help="kills at random times")
    given = parser.parse_args()
    for seed in range(given.seeds):
        at_every_step(seed)
    at_random(given.random)


if __name__ == "__main__":
    main()
