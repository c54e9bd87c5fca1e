"""G15: a model of plain dictionaries and the ledger on disk agree on every row, whatever happens.

What happens is what a batch does: rows are planned and submitted, the API answers in every way,
answers are kept in the side file, transactions fail, and the process dies without a goodbye.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._rows import PlannedRow, Row, Step
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.batch._states import EDGES, RowState, settled
from modelslab_async.batch._transitions import Change
from modelslab_async.errors import LedgerError

S = RowState
# Lives, and steps of each.
SIZES = {"suite": (100, 30), "change": (250, 50), "nightly": (20_000, 100)}
SIZE = SIZES[os.environ.get("HYPOTHESIS_PROFILE", "suite")]
# A kill loses nothing that was written, synced or not, so memory serves as well as a disk.
QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
ROWS = 4
JOBS = ("job-1", "job-2", "job-3", "job-4", "job-5")
NEVER_AGAIN = frozenset({S.ABANDONED})

rows = st.integers(1, ROWS)
jobs = st.sampled_from(JOBS)
paid = st.sampled_from(["accepted", "finished at once"])
Event: TypeAlias = Callable[[int, str], Change]
EVENTS: dict[str, Event] = {
    "not sent": lambda row, _: changes.not_sent(row, "refused"),
    "accepted": lambda row, job: changes.accepted(row, job, f'{{"id":"{job}"}}'),
    "finished at once": lambda row, job: changes.finished_at_once(row, job, "{}", 2.0),
    "rejected": lambda row, _: changes.rejected(row, "BadRequest", "no"),
    "ambiguous": lambda row, _: changes.ambiguous(row, "reset"),
    "ready": lambda row, _: changes.ready(row, '{"links":{}}', polls=3),
    "done": lambda row, _: changes.done(
        row, f"{row}.wav", sha256="ab", size=9, seconds=2.0, integrity="exact"
    ),
    "file missing": lambda row, _: changes.redownload(row, f"{row}.wav is not there"),
    "failed": lambda row, _: changes.failed(row, "JobFailed", "out of memory", polls=4),
    "detached": lambda row, _: changes.detached(row, "deadline", polls=5),
    "waiting again": lambda row, _: changes.reattached(row, "resumed"),
    "output lost": lambda row, _: changes.output_lost(row, "OutputLost", "no link"),
    "abandoned": lambda row, _: changes.abandoned(row, "by hand"),
    "skipped": lambda row, _: changes.skipped(row, "not in the manifest"),
    "wanted again": lambda row, _: changes.wanted_again(row, "in the manifest"),
}


@define
class Known:
    """What the model knows of one row."""

    state: RowState = S.PLANNED
    attempt: int = 0
    track_id: str | None = None
    job_id: str | None = None
    path: str | None = None
    steps: int = 0


def planned(count: int) -> list[PlannedRow]:
    return [PlannedRow(f"row-{n}", {"prompt": "tabla"}, f"hash-{n}") for n in range(1, count + 1)]


class LedgerModel(RuleBasedStateMachine):
    """The real ledger beside its model."""

    def __init__(self) -> None:
        super().__init__()
        self.place = TemporaryDirectory(dir=QUICK)
        self.lives = 0
        self.serial = 0
        self.time = 1000.0
        self.model: dict[int, Known] = {}
        self.last: dict[int, Row] = {}
        self.store = Store.open(self.directory, self.tick)
        self.plan(ROWS - 1)

    @property
    def directory(self) -> Path:
        return Path(self.place.name, str(self.lives))

    def tick(self) -> float:
        self.time += 1.0
        return self.time

    # What a batch does

    @rule(count=st.integers(1, ROWS))
    def plan(self, count: int) -> None:
        with self.store.transaction():
            done = self.store.plan(planned(count))
        assert (done.added, done.changed) == (max(0, count - len(self.model)), ())
        for seq in range(1, min(count, len(self.model)) + 1):
            if self.model[seq].state is S.SKIPPED:  # given again, so it is wanted again
                self.take(changes.wanted_again(seq, "it was given again"))
        for seq in range(len(self.model) + 1, count + 1):
            self.model[seq] = Known()

    @rule(row=rows)
    def submit(self, row: int) -> None:
        self.serial += 1
        attempt = self.model[row].attempt + 1 if row in self.model else 1
        self.commit(changes.intent(row, self.serial, attempt))

    @rule(row=rows, event=st.sampled_from(sorted(EVENTS)), job=jobs)
    def event(self, row: int, event: str, job: str) -> None:
        self.commit(EVENTS[event](row, job))

    @rule(steps=st.lists(st.tuples(rows, st.integers(0, 9), jobs), min_size=1, max_size=6))
    def go_on(self, steps: list[tuple[int, int, str]]) -> None:
        """Rows take steps that they can take."""
        for row, choice, job in steps:
            if row not in self.model:
                continue
            legal = [one for one in EVENTS.values() if self.is_legal(one(row, job))]
            if self.model[row].state is S.PLANNED:
                self.submit(row)
            elif choice < len(legal):
                self.commit(legal[choice](row, job))
            else:
                self.pay_again(row)

    @rule(row=rows)
    def pay_again(self, row: int) -> None:
        """A new job: nothing of the old one stays but its history and the count of attempts."""
        if row not in self.model:
            return
        self.commit(changes.replanned(self.store.row(row), "by hand"))
        after = self.store.row(row)
        assert after.state is not S.PLANNED or (after.job_id, after.handle) == (None, None)

    # What must not be

    @rule(row=rows, attempt=st.integers(0, 3))
    def submit_with_a_used_attempt_or_track_id(self, row: int, attempt: int) -> None:
        """One submit leaves once, whatever the caller counted."""
        if row not in self.model:
            return
        known = self.model[row]
        with pytest.raises(LedgerError):
            self.write(changes.intent(row, 10**9 + self.serial, max(0, known.attempt - attempt)))
        used = [other.track_id for seq, other in self.model.items() if seq != row]
        for track_id in filter(None, used):
            with pytest.raises(LedgerError):
                self.write(changes.intent(row, track_id, known.attempt + 1))

    @rule(row=rows, event=st.sampled_from(sorted(EVENTS)), job=jobs)
    def transaction_that_fails(self, row: int, event: str, job: str) -> None:
        with pytest.raises(LedgerError, match="no row 99"):
            self.write_all(EVENTS[event](row, job), changes.ambiguous(99, "no such row"))

    @rule(count=st.integers(0, ROWS))
    def plan_rows_that_were_changed(self, count: int) -> None:
        other = PlannedRow("row-1", {"prompt": "drums"}, "another hash")
        with self.store.transaction():
            assert self.store.plan([*planned(count)[1:], other]).changed == ("row-1",)

    # How a process ends

    @rule(
        answers=st.dictionaries(rows, st.tuples(paid, jobs)),
        how=st.just("closed") | st.just("killed") | st.sampled_from(sorted(EVENTS)),
    )
    def end_and_begin_again(self, answers: dict[int, tuple[str, str]], how: str) -> None:
        """Answers went to the side file, as when the disk is full: the next start takes them in."""
        for row in answers:
            self.submit(row)
        made = [EVENTS[event](row, job) for row, (event, job) in answers.items()]
        known = {seq for seq, one in self.model.items() if one.state is S.SUBMITTING}
        kept = [change for change in made if change.row in known]
        for change in kept:
            self.store.rescue.keep(change)
        if how in EVENTS:  # killed before it is committed
            self.store.db.execute("BEGIN IMMEDIATE")
            with contextlib.suppress(LedgerError):
                self.store.apply(EVENTS[how](1, "job-1"))
        self.end(killed=how != "closed")
        self.start(kept)

    def end(self, *, killed: bool) -> None:
        """A killed process leaves its files as they are, and closes nothing."""
        left = self.directory
        self.lives += 1
        if killed:
            shutil.copytree(left, self.directory)
        self.store.close()
        if not killed:
            left.rename(self.directory)

    def start(self, kept: list[Change]) -> None:
        self.store = Store.open(self.directory, self.tick)
        with self.store.transaction():
            self.store.accept()  # a kill is played by a copy of the files
        for change in kept:
            self.take(change)
        left = [known for known in self.model.values() if known.state is S.SUBMITTING]
        for known in left:
            known.state, known.steps = S.AMBIGUOUS, known.steps + 1
        assert self.store.recovered == len(left)

    # The model

    def write(self, change: Change) -> RowState:
        with self.store.transaction(), self.store.alone():
            row = self.store.apply(change)
            assert row == self.store.row(change.row)
            return row.state

    def write_all(self, *steps: Change) -> None:
        with self.store.transaction():
            for change in steps[:-1]:
                with contextlib.suppress(LedgerError), self.store.alone():
                    self.store.apply(change)
            self.store.apply(steps[-1])

    def commit(self, change: Change) -> None:
        if not self.is_legal(change):
            with pytest.raises(LedgerError):
                self.write(change)
            return
        assert self.write(change) is self.take(change)

    def is_legal(self, change: Change) -> bool:
        known = self.model.get(change.row)
        if known is None or change.to not in EDGES[known.state]:
            return False
        if change.only_from and known.state not in change.only_from:
            return False
        return known.state is S.SUBMITTING or not self.holder(change)

    def holder(self, change: Change) -> bool:
        """Whether another row has the job that this one is given."""
        job = change.values.get("job_id")
        rest = (known for seq, known in self.model.items() if seq != change.row)
        return job is not None and any(known.job_id == job for known in rest)

    def take(self, change: Change) -> RowState:
        known = self.model[change.row]
        known.steps += 1
        known.state = S.AMBIGUOUS if self.holder(change) else change.to
        if known.state is change.to:
            for name in ("attempt", "track_id", "job_id", "path"):
                if name in change.values:
                    setattr(known, name, change.values[name])
        return known.state

    # What holds after every step

    @invariant()
    def all_is_well(self) -> None:
        """Everything is read once: of what a step costs, reading is the most."""
        found = list(self.store.each())
        histories = {row.seq: self.store.history(row.seq) for row in found}
        self.the_ledger_is_its_model(found, histories)
        self.the_history_is_a_chain_of_legal_steps_up_to_today(histories)
        self.an_ended_row_never_changes_and_no_count_goes_down(found)
        self.no_two_rows_have_one_job_or_one_file(found)
        self.a_row_that_a_run_leaves_alone_has_ended(found)

    def the_ledger_is_its_model(self, found: list[Row], histories: dict[int, list[Step]]) -> None:
        assert {row.seq for row in found} == self.model.keys()
        for row in found:
            steps = len(histories[row.seq])
            seen = Known(row.state, row.attempt, row.track_id, row.job_id, row.path, steps)
            assert seen == self.model[row.seq]
        states = [known.state for known in self.model.values()]
        assert self.store.counts() == {state: states.count(state) for state in RowState}
        assert self.store.tally == self.store.counts()

    def the_history_is_a_chain_of_legal_steps_up_to_today(
        self, histories: dict[int, list[Step]]
    ) -> None:
        for seq, known in self.model.items():
            state, at = S.PLANNED, 0.0
            for step in histories[seq]:
                assert step.old is state
                assert step.new in EDGES[state]
                assert step.at >= at
                state, at = step.new, step.at
            assert state is known.state

    def an_ended_row_never_changes_and_no_count_goes_down(self, found: list[Row]) -> None:
        for row in found:
            before = self.last.get(row.seq)
            self.last[row.seq] = row
            if before is None:
                continue
            assert before.state not in NEVER_AGAIN or row == before
            assert row.attempt >= before.attempt
            assert (row.id, row.request, row.planned_at) == (
                before.id,
                before.request,
                before.planned_at,
            )

    def no_two_rows_have_one_job_or_one_file(self, found: list[Row]) -> None:
        for name in ("job_id", "track_id", "path"):
            given = [value for row in found if (value := getattr(row, name)) is not None]
            assert len(set(given)) == len(given)

    def a_row_that_a_run_leaves_alone_has_ended(self, found: list[Row]) -> None:
        for row in found:
            if row.state is S.DONE:
                assert row.path
                assert row.done_at
            if row.state is S.PLANNED:  # the file of an earlier job is not that of the next one
                assert (row.path, row.sha256, row.done_at) == (None, None, None)
            if row.state in (S.SUBMITTED, S.DETACHED):
                assert row.job_id
                assert not settled(row.state)

    def teardown(self) -> None:
        self.store.close()
        self.place.cleanup()


TestLedgerModel = LedgerModel.TestCase
TestLedgerModel.settings = settings(max_examples=SIZE[0], stateful_step_count=SIZE[1])
