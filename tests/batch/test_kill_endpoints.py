"""One batch with a row of each endpoint, killed twice: none is paid for twice, and none is lost."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import evolve

from modelslab_async import JobEvent, Request
from modelslab_async.batch._sqlite.reader import Reader
from modelslab_async.batch._states import RowState

from ..simulation.kill_sweep import Trial, ended, forked, in_child, sandbox
from ..simulation.kills import MEMORY
from ..support.all_endpoints import SAMPLES

TWINS = [evolve(one, enterprise=True) for one in SAMPLES if one.ENTERPRISE]
FIRST = {one.fetch: one for one in reversed([*SAMPLES, *TWINS])}
"""One request of each family of jobs."""

EVERY = [*FIRST.values(), *(one for one in [*SAMPLES, *TWINS] if one not in FIRST.values())]


class Everything(Trial):
    """A row of each endpoint and of each enterprise twin, told apart by the paths of submits."""

    @property
    def requests(self) -> Sequence[Request]:
        return EVERY

    def paid(self) -> Counter[str]:
        return self.box.paid("path")

    def wanted(self) -> Counter[str]:
        return Counter(request.path for request in EVERY)


def killed_when_all_are_paid_for(trial: Trial) -> None:
    """Run a batch whose submits get no answer; kill it when its slots are full."""
    pid = forked(trial.run)
    while trial.paid().total() < trial.max_jobs:
        pass
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL


def killed_at(trial: Trial, kind: str, times: int) -> None:
    """Run a batch, and kill it when something has happened in it so many times."""
    reading, writing = os.pipe()

    def tell(event: JobEvent) -> None:
        os.write(writing, f"{event.kind}\n".encode())

    pid = forked(evolve(trial, observer=tell).run)
    os.close(writing)
    with os.fdopen(reading) as told:
        found = (line for line in told if line.strip() == kind)
        for _ in range(times):
            next(found)
        os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL


def ways(directory: Path) -> Iterator[tuple[str, list[RowState]]]:
    """The family of each row, and the states that it was in, in the order of the requests."""
    with Reader.open(directory) as reader:
        for request, row in zip(EVERY, reader.each(), strict=True):
            yield request.fetch, [step.new for step in reader.history(row.seq)]


def test_x10_a_batch_of_all_endpoints_killed_twice_pays_for_each_row_once() -> None:
    assert len({request.path for request in EVERY}) == len(EVERY) > len(SAMPLES)
    lost = {"on": "submit", "kind": "silent", "times": len(FIRST)}
    with sandbox(faults=[lost]) as box, tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        trial = Everything(box, Path(folder) / "out", "all", rows=len(EVERY))
        killed_when_all_are_paid_for(evolve(trial, max_jobs=len(FIRST)))
        assert trial.paid() == Counter(request.path for request in FIRST.values())
        killed_at(trial, "saved", times=5)
        assert trial.states()[RowState.DONE] < len(EVERY)
        assert in_child(trial.run) == 0
        trial.judge()
        found = [family for family, way in ways(trial.directory) if RowState.AMBIGUOUS in way]
        assert set(found) == set(FIRST)
