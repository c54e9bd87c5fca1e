"""Write a ledger: open it, plan rows, and apply changes to them. Blocking.

One store owns the directory, in one process and one thread. Every change of a row's state is
checked against the table of transitions, and adds a line of history.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from attrs import evolve

from ..._policy.error_mapping import disk_remedy
from ...errors import LedgerError, LedgerMoved
from .. import _transitions as changes
from .._fallback_log import Rescue
from .._rows import (
    FILE_COLUMNS,
    KnownRow,
    Planned,
    PlannedRow,
    Row,
    Storable,
    family_of,
    own_track_id,
    relabelled,
    request_text,
    same_track_id,
    storable,
)
from .._states import UNSENT, RowState
from .._transitions import Change, duplicate_job_id, recovered, validate
from .advice import DAMAGED, explained
from .directory import Directory
from .files import Files
from .identity import IDENTITY, Stamps, copied, is_in_doubt, is_suspect
from .location import UNSURE, Lock, leave_lock, make_directory
from .reader import Reader
from .schema import VERSION, create, migrate, version_of
from .sounds import same_sound

_ORPHANS: Final = 500
_SETTINGS: Final = (
    "PRAGMA synchronous = FULL",  # NORMAL forgets acknowledged commits on power loss
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA mmap_size = 0",
    "PRAGMA journal_size_limit = 16777216",
)
_EDITED: Final = """
SELECT r.id, r.state, coalesce((SELECT new FROM transitions WHERE row = r.seq
    ORDER BY n DESC LIMIT 1), 'planned') AS last
FROM rows r WHERE r.state <> last LIMIT 1
"""
_INSERT: Final = """
INSERT INTO rows (id, state, request, payload_hash, prompt, track_id, planned_at, updated_at)
VALUES (?, 'planned', ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
_REPLACE: Final = """
UPDATE rows SET request = ?, payload_hash = ?, prompt = ?, track_id = ? WHERE seq = ?
"""
_RELABEL: Final = "UPDATE rows SET request = ? WHERE seq = ?"
_STEP: Final = "INSERT INTO transitions (row, old, new, at, note, cost) VALUES (?, ?, ?, ?, ?, ?)"
_PAID: Final = frozenset({RowState.SUBMITTED, RowState.READY, RowState.AMBIGUOUS})
_SET: Final = "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"


class Store(Reader):
    """An open ledger that can be written to.

    Attributes:
        directory: the open directory.
        name: the batch's uuid.
        in_doubt: the directory is a copy, or was restored from a backup: nothing is submitted.
        is_suspect: its files were changed between two runs: jobs of planned rows have to be looked
            for first.
        has_lost_steps: the ledger once held more transitions than when it was opened.
        recovered: the number of rows that a dead process left between intent and answer, which
            are AMBIGUOUS now.
        rescue: the side file for answers that the ledger cannot store.
        tally: as `counts`, kept up to date by each write.
    """

    def __init__(self, files: Files, rescue: Rescue, clock: Callable[[], float]) -> None:
        super().__init__(files.db)
        self.directory = files.directory
        self.rescue = rescue
        self.recovered = 0
        self.in_doubt = self.is_suspect = self.has_lost_steps = False
        self.name, _ = self.batch()
        self._files = files
        self._clock = clock
        self._pid = os.getpid()
        self._is_checked = False
        self.tally = self.counts()

    @classmethod
    def open(cls, directory: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open the ledger of a directory for writing; create both if missing.

        Answers that an earlier process left in the side file are applied, and its rows between
        intent and answer become AMBIGUOUS.

        Args:
            directory: the output directory.
            clock: gives the time of day, in seconds since the epoch.

        Raises:
            LedgerError: another process works here, the directory cannot be used, or the ledger is
                missing, damaged, edited by hand, or not one of ours.
        """
        place = make_directory(Path(directory))
        try:
            with contextlib.ExitStack() as undo:
                store = cls._prepared(Files(Directory(Path(directory)), undo), clock, undo)
                undo.pop_all()
        except sqlite3.Error as error:
            raise explained(error, "it was opened") from error
        except OSError as error:
            if isinstance(error.__context__, LedgerError):  # then closing failed as well
                raise error.__context__ from None
            raise LedgerError(
                f"no ledger can be kept in {place}: {error}; {disk_remedy(error)}, then run again"
            ) from error
        return store

    @classmethod
    def _prepared(
        cls, files: Files, clock: Callable[[], float], undo: contextlib.ExitStack
    ) -> Self:
        db = files.db
        version_of(db)  # first: change nothing in a database that is not ours
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise LedgerError(f"SQLite has no write-ahead log on this file system (mode {mode})")
        for setting in _SETTINGS:
            db.execute(setting)
        _begin(db, files.lock, clock())
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise LedgerError(f"the ledger is damaged ({found}): {DAMAGED}")
        edited = db.execute(_EDITED).fetchone()
        if edited is not None:
            row, state, last = edited
            raise LedgerError(
                f"row {row} is {state!r}, but its history ends with {last!r}: the ledger was "
                "edited by hand. Restore the state; only this program may change it"
            )
        rescue = Rescue(files.directory, Reader(db).batch()[0])
        undo.callback(rescue.close)
        store = cls(files, rescue, clock)
        store._judge_identity()
        with store.transaction():
            store._take_in()
            while rows := store.page([RowState.SUBMITTING], limit=_ORPHANS):
                for orphan in rows:
                    store.apply(recovered(orphan.seq))
                store.recovered += len(rows)
            store.set_meta({IDENTITY: "" if store.in_doubt else files.identity})
            db.execute("UPDATE batch SET openings = openings + 1")
        store._remember()
        files.watch()
        rescue.clear()
        return store

    def close(self) -> None:
        """Close the ledger, and unlock the directory.

        Raises:
            OSError, sqlite3.Error: a file could not be closed. The lock is released nevertheless.
        """
        with contextlib.ExitStack() as closing:
            closing.callback(self._files.close, keep=not (self.in_doubt or self.is_suspect))
            closing.callback(self.rescue.close)

    def accept(self) -> None:
        """Make this copy the one to work on. Call it inside `transaction`."""
        self.set_meta({IDENTITY: self._files.identity})
        self.in_doubt = self.is_suspect = False
        self._remember()

    def doubt(self) -> None:
        """A planned row is paid for already: the ledger is old. Call it inside `transaction`."""
        self.set_meta({IDENTITY: ""})
        self.in_doubt = True

    def check_directory(self) -> None:
        """Check that the path still leads to this directory and its ledger.

        Raises:
            LedgerMoved: it does not. A run at the old path cannot restart the batch.
        """
        try:
            self.directory.check()
        except LedgerMoved as error:
            if not self.directory.is_at_its_path():
                leave_lock(self.directory.path, self.name, self.steps(), error.directory)
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that is written inside at the end, or nothing.

        Raises:
            LedgerError: this process was forked from the one that opened the ledger.
        """
        if os.getpid() != self._pid:
            raise LedgerError("the ledger was opened before a fork; open it in the new process")
        before, self._is_checked = self.db.total_changes, False
        tally = dict(self.tally)
        self.directory.begin()
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            self.tally = tally
            if self.db.in_transaction:  # SQLite ends it by itself for some errors
                self.db.execute("ROLLBACK")
            raise
        finally:
            self.directory.end()
        if self.db.total_changes != before and not self.in_doubt:
            with contextlib.suppress(OSError):  # what was committed is committed
                self._files.lock.count(self.steps(), self._stamps())

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Roll back only what fails inside, not the transaction around it."""
        before = dict(self.tally)
        self.db.execute("SAVEPOINT alone")
        try:
            yield
        except BaseException:
            self.tally = before
            if self.db.in_transaction:
                self.db.execute("ROLLBACK TO alone")
                self.db.execute("RELEASE alone")
            raise
        self.db.execute("RELEASE alone")

    def plan(
        self, rows: Iterable[PlannedRow], *, replaces: bool = False, whole: bool = False
    ) -> Planned:
        """Add new rows, keep known ones, and report changed ones. Call it inside `transaction`.

        It is one savepoint: if rows were changed, nothing is written.

        Args:
            rows: consumed one by one.
            replaces: replace changed rows that were not submitted, instead of reporting them.
            whole: skip the rows that were not submitted and are not among these.

        Raises:
            LedgerError: two rows have the same id or `track_id`, or a request cannot be stored.
        """
        last = int(self.db.execute("SELECT coalesce(max(seq), 0) FROM rows").fetchone()[0])
        added, kept, replaced, skipped = 0, 0, 0, 0
        changed, given, before = list[str](), set[int](), dict(self.tally)
        self.db.execute("SAVEPOINT plan")
        for row in rows:
            if self._insert(row):
                added += 1
                continue
            known = self.planned_as(row.id)
            if known is None or known.seq > last:
                raise LedgerError(f"two rows have the id {row.id!r}; nothing was planned")
            given.add(known.seq)
            if known.payload_hash == storable(row.payload_hash):
                kept += 1
                self._relabel(row, known)
                if known.state is RowState.SKIPPED and not known.is_held:
                    self.apply(changes.wanted_again(known.seq, "the manifest holds it again"))
            elif replaces and known.state in UNSENT:
                self._replace(row, known)
                replaced += 1
            else:
                changed.append(row.id)
        if changed:
            self.db.execute("ROLLBACK TO plan")
            self.tally = before
        elif whole:
            skipped = self._skip_others(given, last)
        self.db.execute("RELEASE plan")
        if changed:
            return Planned(added=0, kept=kept, changed=tuple(changed))
        return Planned(added=added, kept=kept, replaced=replaced, skipped=skipped)

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Store values of the whole batch. Call it inside `transaction`."""
        self.db.executemany(_SET, values.items())

    def apply(self, change: Change) -> Row:
        """Apply a change to its row, and return the new row. Call it inside `transaction`.

        The row becomes AMBIGUOUS if the API returned a job id that another row has.

        Raises:
            LedgerError: the row cannot make this transition; nothing is written.
            LedgerMoved, LedgerCopied: the row would be paid for, and this ledger must not do so.
        """
        row = self.row(change.row)
        validate(change, row)
        if change.sends:
            if not self._is_checked:  # once per transaction
                self.check_directory()
                self._is_checked = True
            if self.in_doubt:
                raise copied(self.directory.path, self.tally[RowState.PLANNED])
        if change.job_id is not None:
            holder = self.with_job_id(change.job_id, family_of(str(change.values.get("handle"))))
            if holder is not None and holder.seq != change.row:
                change = duplicate_job_id(change, row, holder)
        if change.to is RowState.DONE:
            change = changes.same_sound(
                change, same_sound(self.db, row.seq, change.values.get("sound_sha256"))
            )
        return self._write(change, row)

    def expect(self, seq: int, file: Mapping[str, Storable]) -> None:
        """Store the values of a READY row's file before it is published; the row stays READY.

        Call it inside `transaction`.

        Raises:
            LedgerMoved: the file would be published in another directory.
        """
        if not self.directory.is_stable:
            self.check_directory()
        names = ", ".join(f"{name} = :{name}" for name in FILE_COLUMNS)
        query = f"UPDATE rows SET {names} WHERE seq = :seq AND state = 'ready'"  # noqa: S608
        values = dict.fromkeys(FILE_COLUMNS) | {name: storable(file[name]) for name in file}
        self.db.execute(query, {**values, "seq": seq})

    def steps(self) -> int:
        """The number of transitions in the ledger."""
        found = self.db.execute("SELECT coalesce(max(n), 0) FROM transitions").fetchone()
        return int(found[0])

    def _judge_identity(self) -> None:
        _, openings = self.batch()
        self.has_lost_steps = self._files.lock.has_seen_more(openings, self.steps())
        self.in_doubt = is_in_doubt(
            rows=sum(self.tally.values()),
            known=self.meta().get(IDENTITY),
            now=self._files.identity,
            lost_steps=self.has_lost_steps,
        )
        self.is_suspect = is_suspect(
            rows=sum(self.tally.values()),
            known=self._files.lock.stamps,
            now=self._files.found,
        )

    def _stamps(self) -> Stamps:
        return UNSURE if self.is_suspect else self._files.stamps()

    def _remember(self) -> None:
        if not self.in_doubt:  # else the lock file describes another ledger
            self._files.lock.remember(*self.batch(), self.steps(), self._stamps())

    def _insert(self, row: PlannedRow) -> bool:
        now = self._clock()
        texts = (row.id, request_text(row), row.payload_hash, row.prompt, own_track_id(row))
        try:
            is_new = self.db.execute(_INSERT, (*map(storable, texts), now, now)).rowcount == 1
        except sqlite3.IntegrityError as error:
            raise same_track_id(row) from error
        self.tally[RowState.PLANNED] += is_new
        return is_new

    def _replace(self, row: PlannedRow, known: KnownRow) -> None:
        """Replace a row that was not submitted, and record that in the history."""
        if known.state is RowState.PLANNED:
            self.apply(changes.skipped(known.seq, "the manifest has changed it"))
        texts = (request_text(row), row.payload_hash, row.prompt, own_track_id(row))
        try:
            self.db.execute(_REPLACE, (*map(storable, texts), known.seq))
        except sqlite3.IntegrityError as error:
            raise same_track_id(row) from error
        if not known.is_held:
            self.apply(changes.wanted_again(known.seq, "as the manifest has it now"))

    def _relabel(self, row: PlannedRow, known: KnownRow) -> None:
        """Take over fields that are only copied, such as a mood, until the row is sent."""
        if known.state in UNSENT:
            text = relabelled(self.row(known.seq).request, row)
            self.db.execute(_RELABEL, (storable(text), known.seq))

    def _skip_others(self, given: set[int], last: int) -> int:
        query = "SELECT seq FROM rows WHERE state = 'planned' AND seq <= ?"
        others = [seq for (seq,) in self.db.execute(query, (last,)) if seq not in given]
        for seq in others:
            self.apply(changes.skipped(seq, "the manifest no longer holds it"))
        return len(others)

    def _write(self, change: Change, row: Row) -> Row:
        now = self._clock()
        stamps = dict.fromkeys((*change.stamps, "updated_at"), now)
        given = {**change.values, "state": change.to.value, **stamps}
        values: dict[str, Any] = {name: storable(value) for name, value in given.items()}
        written = values | ({"family": family_of(values["handle"])} if "handle" in values else {})
        names = ", ".join(f"{name} = ?" for name in written)
        query = f"UPDATE rows SET {names} WHERE seq = ?"  # noqa: S608 - Change checks the names
        try:
            self.db.execute(query, (*written.values(), row.seq))
        except sqlite3.IntegrityError as error:
            raise LedgerError(f"row {row.id} cannot be {change.to}: {error}") from error
        # A job that is paid for, or may be, always counts at the price of its submit.
        paid = row.state is RowState.SUBMITTING and change.to in _PAID
        step = (row.seq, row.state.value, change.to.value, now, storable(change.note))
        self.db.execute(_STEP, (*step, row.cost if paid else None))
        self.tally[row.state] -= 1
        self.tally[change.to] += 1
        return evolve(row, **values)

    def _take_in(self) -> None:
        for change in self.rescue.kept():
            row = self.row(change.row)
            if row.state in (RowState.SUBMITTING, RowState.AMBIGUOUS):
                self.apply(change)
            elif row.job_id != change.job_id:
                raise LedgerError(
                    f"{self.rescue.path} says that row {row.id} has job "
                    f"{change.job_id}, but the ledger says that it is {row.state} with "
                    f"job {row.job_id}; find out which is right, and remove the line"
                )


def _begin(db: sqlite3.Connection, lock: Lock, now: float) -> None:
    """Create the batch, or migrate it to the current schema."""
    db.execute("BEGIN IMMEDIATE")
    version = version_of(db)
    if version == 0:
        create(db, str(uuid.uuid4()), now)
    elif version < VERSION:
        migrate(db)
    lock.check(Reader(db).batch()[0])
    db.execute("COMMIT")
