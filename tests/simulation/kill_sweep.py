"""Kill batches with SIGKILL and start them again.

``python -m tests.simulation.kill_sweep --rows 500``

The sandbox is a process of its own, and each run of a batch a forked child. Whatever was killed
when, in the end every row has one debit, one file of the right bytes, and nothing else lies about.
`tests.simulation.kills` kills at each step instead.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from modelslab_async import DownloadPolicy, ModelsLab, MusicGen, PollPolicy, Request
from modelslab_async._engine import filesystem
from modelslab_async._engine.events import Observer
from modelslab_async.batch._sqlite.reader import Reader
from modelslab_async.batch._states import RowState

POLL = PollPolicy(first=0.01, min_interval=0.01, max_interval=0.05, rate=5000, patience=0.3)
DOWNLOAD = DownloadPolicy(patience=2.0, first_wait=0.01)
QUICK = {"generation_seconds": [0.0, 0.03], "eta": "float", "fetch_meta": True}
OURS = {"ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm", "ledger.lock"}
RESULTS = "results.jsonl"
GARBAGE = b"something else"


@frozen
class Box:
    """A sandbox in another process."""

    url: str
    key: str

    def ask(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path) as answer:  # noqa: S310 - it is on 127.0.0.1
            return bytes(answer.read())

    def jobs(self, name: str) -> Counter[str]:
        """How many jobs each prompt of a batch has; each of them is one debit."""
        prompts = self.paid("prompt").items()
        return Counter({prompt: n for prompt, n in prompts if prompt.startswith(f"{name} ")})

    def paid(self, by: str) -> Counter[str]:
        """How many jobs there are, by their `prompt` or `path`; each of them is one debit."""
        book = json.loads(self.ask("/sandbox/book"))
        assert sorted(job["id"] for job in book["jobs"]) == sorted(i for i, _ in book["debits"])
        return Counter(job[by] for job in book["jobs"])


@contextlib.contextmanager
def sandbox(**scenario: Any) -> Iterator[Box]:
    """A sandbox in another process, for as long as the block lasts."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps({**QUICK, **scenario}))
        file.flush()
        serve = [sys.executable, "-m", "modelslab_async", "sandbox", "--json"]
        with subprocess.Popen(
            [*serve, "--slots", "15", "--scenario", file.name], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            try:
                yield Box(told["url"], told["key"])
            finally:
                process.terminate()


@frozen
class Trial:
    """One batch, run by one process after another."""

    box: Box
    directory: Path
    name: str
    rows: int
    submit_timeout: float = 5.0
    max_jobs: int = 15
    observer: Observer | None = None

    @property
    def requests(self) -> Sequence[Request]:
        prompts = (f"{self.name} {number}" for number in range(1, self.rows + 1))
        return [MusicGen(prompt, max_new_token=256, sampling_rate=10000) for prompt in prompts]

    def prepare(self) -> None:
        """What comes before the run that is killed."""

    def run(self, **settings: Any) -> None:
        """Run the batch to its end, in this process."""
        asyncio.run(self._run(settings))

    async def _run(self, settings: dict[str, Any]) -> None:
        client = ModelsLab(
            self.box.key,
            base_url=self.box.url,
            max_jobs=self.max_jobs,
            poll=POLL,
            download=DOWNLOAD,
            submit_timeout=self.submit_timeout,
            observer=self.observer,
        )
        async with (
            client,
            client.batch(self.requests, directory=self.directory, **settings) as outcomes,
        ):
            async for _ in outcomes:
                pass

    def states(self) -> Counter[RowState]:
        with Reader.open(self.directory) as reader:
            return Counter({state: n for state, n in reader.counts().items() if n})

    def paid(self) -> Counter[str]:
        """How many jobs the account has of each request, by what tells requests apart."""
        return self.box.jobs(self.name)

    def wanted(self) -> Counter[str]:
        """One of each."""
        return Counter(request.title for request in self.requests)

    def judge(self) -> int:
        """See that all is as it must be; say how many rows had to be told to be paid for again.

        A row that was killed between its intent and its submit cannot be told from one whose
        answer was lost, except that the account has no job of it: only such rows may be left.
        """
        jobs = self.paid()
        assert max(jobs.values(), default=1) == 1, jobs.most_common(3)
        left = self.rows - jobs.total()
        wanted = {RowState.DONE: jobs.total(), RowState.AMBIGUOUS: left}
        assert self.states() == Counter({state: n for state, n in wanted.items() if n})
        if left:
            assert in_child(lambda: self.run(retry=(RowState.AMBIGUOUS,))) == 0
        assert self.paid() == self.wanted()
        self._judge_files()
        return left

    def _judge_files(self) -> None:
        with Reader.open(self.directory) as reader:
            rows = list(reader.each())
        text = (self.directory / RESULTS).read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["row"] for line in lines] == [row.seq for row in rows]
        for row in rows:
            assert row.path is not None
            assert (self.directory / row.path).read_bytes() == self.box.ask(
                f"/sandbox/files/{row.job_id}"
            )
        files = {row.path for row in rows}
        assert len(files) == self.rows
        names = {entry.name for entry in self.directory.iterdir()} - OURS
        assert names == {RESULTS, *files, *self._kept()}

    def _kept(self) -> set[str]:
        """What lies in the directory beside what the batch has brought."""
        return set()


class Damaged(Trial):
    """A batch that was done, whose files are missing or changed; each run brings them again."""

    def prepare(self) -> None:
        super().run()
        missing, changed, *_ = sorted(self.directory.glob("*.wav"))
        missing.unlink()
        changed.write_bytes(GARBAGE)

    def run(self, **settings: Any) -> None:
        super().run(retry_missing=True, **settings)

    def _kept(self) -> set[str]:
        kept = {path.name for path in self.directory.iterdir() if path.read_bytes() == GARBAGE}
        assert len(kept) == 1
        return kept


class Unlinkable(Trial):
    """A batch on a file system that knows neither hard links nor a rename that does not replace."""

    def run(self, **settings: Any) -> None:
        def refused(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        os.link = filesystem._rename_exclusively = refused
        super().run(**settings)


def forked(work: Callable[[], None]) -> int:
    """Start this in a child; return the child's pid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests, from 3.12
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:  # noqa: BLE001 - nothing of the child may reach its parent
        os.write(2, f"child: {error!r}\n".encode())
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """How a child ended, as `os.waitstatus_to_exitcode` says it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_child(work: Callable[[], None]) -> int:
    """Run this in a child to its end; return how it ended."""
    return ended(forked(work))


def killed_at_random(trial: Trial, dice: random.Random, longest: float) -> int:
    """Run the batch, kill it after a while, run it again, until it ends; return the kills.

    The first times are short, so that no machine is quick enough to end before the first kill;
    they grow, so that none is too slow to end at all.
    """
    kills = 0
    while True:
        pid = forked(trial.run)
        handle = os.pidfd_open(pid)
        wait = dice.uniform(0.0, longest) * (1 + kills) / 8
        if not select.select([handle], [], [], wait)[0]:
            os.kill(pid, signal.SIGKILL)
        os.close(handle)
        code = ended(pid)
        if code == 0:
            return kills
        assert code == -signal.SIGKILL, code
        kills += 1


def sweep_at_random(rows: int, seeds: int, scenario: dict[str, Any]) -> None:
    for seed in range(seeds):
        start = time.monotonic()
        with sandbox(**scenario) as box, tempfile.TemporaryDirectory() as folder:
            trial = Trial(box, Path(folder) / "out", f"seed{seed}", rows)
            kills = killed_at_random(trial, random.Random(seed), 2.0)
            left = trial.judge()
        print(  # noqa: T201
            f"seed {seed}: {rows} rows, {kills} kills, {rows} debits, {rows} files; {left} rows "
            f"ambiguous without a job; {time.monotonic() - start:.0f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.kill_sweep")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--scenario", type=json.loads, default={}, help="JSON, for the sandbox")
    given = parser.parse_args()
    sweep_at_random(given.rows, given.seeds, given.scenario)


if __name__ == "__main__":
    main()
