"""A process that dies at any instant leaves a ledger that knows what was acknowledged.

The children are forked and kill themselves with SIGKILL; the ledger in them is the plain store,
so no thread is ever forked.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._fallback_log import ROOM
from modelslab_async.batch._rows import PlannedRow
from modelslab_async.batch._sqlite.reader import Reader
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.batch._states import EDGES, RowState
from modelslab_async.batch._transitions import Change
from modelslab_async.errors import LedgerError

S = RowState
# A kill loses nothing that was written, synced or not, so memory serves as well as a disk.
QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
ROWS = [PlannedRow(f"row-{n}", {"prompt": "sitar"}, f"hash-{n}") for n in (1, 2, 3)]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], None]) -> int:
    """Run this in a forked child; return how it ended, as `os.waitstatus_to_exitcode` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests, from 3.12
        pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing of the child may reach pytest
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def commit(store: Store, *steps: Change) -> None:
    with store.transaction():
        for step in steps:
            store.apply(step)


def found(directory: Path) -> list[str]:
    store = Store.open(directory)
    try:
        return [row.state.value for row in store.each()]
    finally:
        store.close()


def test_l02_a_row_whose_intent_was_committed_is_ambiguous_after_a_crash(tmp_path: Path) -> None:
    def work() -> None:
        store = Store.open(tmp_path)
        with store.transaction():
            store.plan(ROWS)
        commit(store, changes.intent(1, 42, 1))
        die()

    assert in_child(work) == -signal.SIGKILL
    with Reader.open(tmp_path) as reader:  # looking at it changes nothing
        assert reader.row(1).state is S.SUBMITTING
    store = Store.open(tmp_path)
    row = store.row(1)
    assert (row.state, row.track_id, store.recovered) == (S.AMBIGUOUS, "42", 1)
    assert "found at start-up" in store.history(1)[-1].note
    store.close()
    assert found(tmp_path) == ["ambiguous", "planned", "planned"]


def test_l01_a_row_whose_intent_was_not_committed_is_planned_after_a_crash(tmp_path: Path) -> None:
    def work() -> None:
        store = Store.open(tmp_path)
        with store.transaction():
            store.plan(ROWS)
        with store.transaction():
            store.apply(changes.intent(1, 42, 1))
            die()

    assert in_child(work) == -signal.SIGKILL
    assert found(tmp_path) == ["planned"] * 3


def test_l18_a_ledger_is_not_written_to_after_a_fork(tmp_path: Path) -> None:
    store = Store.open(tmp_path)

    def work() -> None:
        with pytest.raises(LedgerError, match="before a fork"):
            commit(store)

    assert in_child(work) == 0
    store.close()


LIFE = [
    [changes.intent(1, 41, 1)],
    [changes.accepted(1, "job-1", "{}"), changes.intent(2, 42, 1)],
    [changes.finished_at_once(2, "job-2", "{}"), changes.intent(3, 43, 1)],
    [changes.ready(1, "{}"), changes.not_sent(3, "refused")],
    [changes.done(1, "1.wav", sha256="a", size=1, seconds=1.0, integrity="whole")],
]
# What is found after a crash, by how many of these steps had been acknowledged.
AFTER = [
    ["planned", "planned", "planned"],
    ["ambiguous", "planned", "planned"],
    ["submitted", "ambiguous", "planned"],
    ["submitted", "ready", "ambiguous"],
    ["ready", "ready", "planned"],
    ["done", "ready", "planned"],
]


class Ticks:
    """Counts every statement and every write or sync of our own, and dies at one of them."""

    def __init__(self, last: int) -> None:
        self._left = last

    def __call__(self, *_: object) -> None:
        self._left -= 1
        if self._left < 0:
            die()

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def ticking(*args: Any, **kwargs: Any) -> Any:
            self()
            return function(*args, **kwargs)

        return ticking

    def install(self) -> None:
        """In a child only: nothing is put back."""
        for name in ("open", "pwrite", "fsync", "ftruncate", "unlink"):
            setattr(os, name, self.before(getattr(os, name)))
        connect = sqlite3.connect

        def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            db: sqlite3.Connection = connect(*args, **kwargs)
            db.set_trace_callback(self)
            return db

        setattr(sqlite3, "connect", traced)  # noqa: B010 - so that mypy lets us


def live(directory: Path, ticks: Ticks, acknowledge: Callable[[], None]) -> None:
    ticks.install()
    store = Store.open(directory)
    with store.transaction():
        store.plan(ROWS)
    acknowledge()
    for steps in LIFE:
        commit(store, *steps)
        acknowledge()
    store.close()


def acknowledged_before_death(directory: Path, last: int) -> tuple[int, bool]:
    """How many steps were acknowledged, and whether the child came to its end."""
    read_end, write_end = os.pipe()
    code = in_child(lambda: live(directory, Ticks(last), lambda: _tell(write_end)))
    os.close(write_end)
    count = len(os.read(read_end, 100))
    os.close(read_end)
    assert code in (0, -signal.SIGKILL)
    return count, code == 0


def _tell(pipe: int) -> None:
    os.write(pipe, b".")


def test_x10_a_crash_at_any_step_loses_nothing_that_was_acknowledged() -> None:
    ended, last = False, 0
    while not ended:
        with TemporaryDirectory(dir=QUICK) as name:
            directory = Path(name) / "out"
            count, ended = acknowledged_before_death(directory, last)
            states = found(directory)
            expected = [AFTER[count - 1]] if count else [[]]
            in_flight = AFTER[count : count + 1]
            assert states in expected + in_flight, f"killed at {last}, {count} acknowledged"
        last += 1
    assert last > 80


def test_l04_a_side_file_that_runs_full_keeps_the_lines_it_has(tmp_path: Path) -> None:
    rows = [PlannedRow(f"row-{n}", {"prompt": "sitar"}, f"hash-{n}") for n in range(1, 101)]

    def work() -> None:
        store = Store.open(tmp_path)
        with store.transaction():
            store.plan(rows)
        commit(store, *(changes.intent(seq, seq, 1) for seq in range(1, 101)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
        with contextlib.suppress(OSError):
            for seq in range(1, 101):
                store.rescue.keep(changes.accepted(seq, f"job-{seq}", "x" * 3000))
        die()

    assert in_child(work) == -signal.SIGKILL
    states = found(tmp_path)
    kept = states.count("submitted")
    assert ROOM // 4000 <= kept < 100
    assert states == ["submitted"] * kept + ["ambiguous"] * (100 - kept)


def left_with_a_line_in_the_side_file(directory: Path) -> None:
    store = Store.open(directory)
    with store.transaction():
        store.plan(ROWS)
    commit(store, changes.intent(1, 41, 1), changes.intent(2, 42, 1))
    store.rescue.keep(changes.accepted(1, "job-1", "{}"))
    store.close()


def test_a_crash_while_an_earlier_crash_is_repaired_loses_nothing_either() -> None:
    code, last = -signal.SIGKILL, 0
    while code:
        with TemporaryDirectory(dir=QUICK) as name:
            directory = Path(name)
            left_with_a_line_in_the_side_file(directory)

            def work(directory: Path = directory, ticks: Ticks = Ticks(last)) -> None:  # noqa: B008
                ticks.install()
                Store.open(directory).close()

            code = in_child(work)
            assert code in (0, -signal.SIGKILL)
            assert found(directory) == ["submitted", "ambiguous", "planned"], f"killed at {last}"
            assert not (directory / "ledger.rescue.jsonl").exists()
        last += 1
    assert last > 30


class LedgerModel(RuleBasedStateMachine):
    """A dictionary of states and the ledger agree, whatever is tried, and over restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.place = TemporaryDirectory(dir=QUICK)
        self.store = Store.open(Path(self.place.name))
        self.model: dict[int, RowState] = {}
        with self.store.transaction():
            self.store.plan(ROWS)
        self.model = dict.fromkeys((1, 2, 3), S.PLANNED)
        self.serial = 0

    @rule(seq=st.integers(1, 3), new=st.sampled_from(RowState))
    def step(self, seq: int, new: RowState) -> None:
        self.serial += 1
        change = Change(seq, new, {"track_id": str(self.serial)}, ("finished_at",), "tried")
        if new in EDGES[self.model[seq]]:
            commit(self.store, change)
            self.model[seq] = new
            return
        with pytest.raises(LedgerError):
            commit(self.store, change)

    @rule(first=st.integers(1, 3), new=st.sampled_from(RowState))
    def step_in_a_transaction_that_fails(self, first: int, new: RowState) -> None:
        good = [Change(first, state) for state in EDGES[self.model[first]]][:1]
        impossible = Change(first, S.PLANNED, {"track_id": "x"}, ())
        with pytest.raises(LedgerError):
            commit(self.store, *good, impossible, Change(99, new))

    @rule(count=st.integers(0, 3))
    def plan_again(self, count: int) -> None:
        with self.store.transaction():
            assert self.store.plan(ROWS[:count]).kept == count
        # A row that was left out and is given again is wanted again.
        back = [seq for seq in range(1, count + 1) if self.model[seq] is S.SKIPPED]
        self.model |= dict.fromkeys(back, S.PLANNED)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = Store.open(Path(self.place.name))
        left = [seq for seq, state in self.model.items() if state is S.SUBMITTING]
        self.model |= dict.fromkeys(left, S.AMBIGUOUS)
        assert self.store.recovered == len(left)

    @invariant()
    def the_states_are_the_models(self) -> None:
        assert {row.seq: row.state for row in self.store.each()} == self.model
        assert sum(self.store.counts().values()) == len(self.model)
        assert self.store.tally == self.store.counts()

    @invariant()
    def the_history_is_a_chain_of_legal_steps(self) -> None:
        for seq, state in self.model.items():
            last = S.PLANNED
            for step in self.store.history(seq):
                assert step.old is last
                assert step.new in EDGES[last]
                last = step.new
            assert last is state

    def teardown(self) -> None:
        self.store.close()
        self.place.cleanup()


TestLedgerModel = LedgerModel.TestCase
TestLedgerModel.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
