"""Write a ledger: open it, plan rows, and let each row take its steps. Plain blocking code.

One store has the directory to itself, in one process and one thread. Every change of a row's
state is checked against the table of legal steps, and leaves a line of history.
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
    request_text,
    storable,
)
from .._states import UNSENT, RowState
from .._transitions import Change, duplicate_job_id, fit, recovered
from .advice import DAMAGED, explained
from .directory import Directory
from .files import Files
from .identity import IDENTITY, Stamps, copied, is_in_doubt, is_suspect
from .location import UNSURE, Lock, leave_lock, make_directory
from .reader import Reader
from .schema import VERSION, create, migrate, version_of

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
_STEP: Final = "INSERT INTO transitions (row, old, new, at, note, cost) VALUES (?, ?, ?, ?, ?, ?)"
_PAID: Final = frozenset({RowState.SUBMITTED, RowState.READY, RowState.AMBIGUOUS})
_SET: Final = "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"


class Store(Reader):
    """An open ledger that can be written to.

    Attributes:
        directory: the open directory.
        name: the batch's uuid.
        in_doubt: the directory is a copy, or was put back from a backup: nothing is sent.
        is_suspect: its files were changed between two runs: what it calls planned is to be looked
            for first.
        has_lost_steps: the ledger once held more than when it was opened.
        recovered: rows that a dead process left between intent and answer; AMBIGUOUS by now.
        rescue: the side file for answers that the ledger cannot take.
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

    @classmethod
    def open(cls, directory: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open the ledger of a directory to work on it; directory and ledger are made if missing.

        What an earlier process left is taken in: answers from the side file, and rows between
        intent and answer, which become AMBIGUOUS.

        Args:
            directory: the output directory.
            clock: gives the time of day, in seconds since the epoch.

        Raises:
            LedgerError: another process works here, the place is not fit, or the ledger is
                missing, damaged, changed by hand, or not one of ours.
        """
        place = make_directory(Path(directory))
        try:
            with contextlib.ExitStack() as undo:
                store = cls._prepared(Files(Directory(Path(directory)), undo), clock, undo)
                undo.pop_all()
        except sqlite3.Error as error:
            raise explained(error, "it was opened") from error
        except OSError as error:
            if isinstance(error.__context__, LedgerError):  # then to close failed as well
                raise error.__context__ from None
            raise LedgerError(f"no ledger can be kept in {place}: {error}") from error
        return store

    @classmethod
    def _prepared(
        cls, files: Files, clock: Callable[[], float], undo: contextlib.ExitStack
    ) -> Self:
        db = files.db
        _configure(db)
        _begin(db, files.lock, clock())
        _check_content(db)
        rescue = Rescue(files.directory, Reader(db).batch()[0])
        undo.callback(rescue.close)
        store = cls(files, rescue, clock)
        store._judge_identity()
        with store.transaction():
            store._take_in()
            store._recover()
            store.set_meta({IDENTITY: "" if store.in_doubt else files.identity})
            db.execute("UPDATE batch SET openings = openings + 1")
        store._remember()
        files.watch()
        rescue.clear()
        return store

    def close(self) -> None:
        """Close the ledger and let others work here.

        Raises:
            OSError, sqlite3.Error: a file failed at its end. The lock is free all the same.
        """
        with contextlib.ExitStack() as closing:
            closing.callback(self._files.close, keep=not (self.in_doubt or self.is_suspect))
            closing.callback(self.rescue.close)

    def accept(self) -> None:
        """From now on this copy is the one that is worked on. Call it inside `transaction`."""
        self.set_meta({IDENTITY: self._files.identity})
        self.in_doubt = self.is_suspect = False
        self._remember()

    def doubt(self) -> None:
        """A planned row is paid for already: the ledger is old. Call it inside `transaction`."""
        self.set_meta({IDENTITY: ""})
        self.in_doubt = True

    def check_directory(self) -> None:
        """See that the path still leads to this directory and its ledger.

        Raises:
            LedgerMoved: it does not. A run at the old path is kept from beginning anew.
        """
        try:
            self.directory.check()
        except LedgerMoved as error:
            if not self.directory.is_at_its_path():
                leave_lock(self.directory.path, self.name, self.steps(), error.directory)
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside becomes durable together at the end, or not at all.

        Raises:
            LedgerError: this process was forked from the one that opened the ledger.
        """
        if os.getpid() != self._pid:
            raise LedgerError("the ledger was opened before a fork; open it in the new process")
        before, self._is_checked = self.db.total_changes, False
        self.directory.begin()
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
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
        """What fails inside is undone alone, and not the transaction around it."""
        self.db.execute("SAVEPOINT alone")
        try:
            yield
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK TO alone")
                self.db.execute("RELEASE alone")
            raise
        self.db.execute("RELEASE alone")

    def plan(
        self, rows: Iterable[PlannedRow], *, replaces: bool = False, whole: bool = False
    ) -> Planned:
        """Add rows that are new, keep those that are there, and name those that were changed.

        When rows were changed, nothing is written. Rows are taken one by one. Call it inside
        `transaction`.

        Args:
            rows: which.
            replaces: a row that was changed, and that was not sent yet, takes its new version.
            whole: rows that were not sent yet, and are not among these, are skipped.

        Raises:
            LedgerError: two of the rows have the same id, or the same track_id of the caller's
                own, or a request cannot be kept.
        """
        last = int(self.db.execute("SELECT coalesce(max(seq), 0) FROM rows").fetchone()[0])
        added, kept, replaced, skipped = 0, 0, 0, 0
        changed, given = list[str](), set[int]()
        self.db.execute("SAVEPOINT plan")
        for row in rows:
            if self._insert(row):
                added += 1
                continue
            known = self._known(row, last)
            given.add(known.seq)
            if known.payload_hash == storable(row.payload_hash):
                kept += 1
                if known.state is RowState.SKIPPED and not known.is_held:
                    self.apply(changes.wanted_again(known.seq, "it was given again"))
            elif replaces and known.state in UNSENT:
                self._replace(row, known)
                replaced += 1
            else:
                changed.append(row.id)
        if changed:
            self.db.execute("ROLLBACK TO plan")
        elif whole:
            skipped = self._skip_others(given, last)
        self.db.execute("RELEASE plan")
        if changed:
            return Planned(added=0, kept=kept, changed=tuple(changed))
        return Planned(added=added, kept=kept, replaced=replaced, skipped=skipped)

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Keep what holds for the whole batch. Call it inside `transaction`."""
        self.db.executemany(_SET, values.items())

    def apply(self, change: Change) -> Row:
        """Let a row take a step; return the row as it is now. Call it inside `transaction`.

        It is AMBIGUOUS when the API gave the row a job id that another row has.

        Raises:
            LedgerError: the row cannot take this step; nothing is written.
            LedgerMoved, LedgerCopied: the row would be paid for, and this is no ledger that may.
        """
        row = self.row(change.row)
        fit(change, row)
        if change.sends:
            self._check_fitness()
        holder = self._holder(change)
        if holder is not None:
            change = duplicate_job_id(change, row, holder)
        return self._write(change, row)

    def _check_fitness(self) -> None:
        """Before something may be paid for; once is enough for all that is committed together."""
        if not self._is_checked:
            self.check_directory()
            self._is_checked = True
        if self.in_doubt:
            raise copied(self.directory.path, self.counts()[RowState.PLANNED])

    def expect(self, seq: int, file: Mapping[str, Storable]) -> None:
        """Keep what the file of a READY row is, before it has its name: the row stays READY.

        Call it inside `transaction`.

        Raises:
            LedgerMoved: the file would get its name in another directory.
        """
        if not self.directory.is_stable:
            self.check_directory()
        names = ", ".join(f"{name} = :{name}" for name in FILE_COLUMNS)
        query = f"UPDATE rows SET {names} WHERE seq = :seq AND state = 'ready'"  # noqa: S608
        self.db.execute(query, {**{name: storable(file[name]) for name in file}, "seq": seq})

    def steps(self) -> int:
        """How many steps the ledger holds."""
        found = self.db.execute("SELECT coalesce(max(n), 0) FROM transitions").fetchone()
        return int(found[0])

    def _judge_identity(self) -> None:
        _, openings = self.batch()
        self.has_lost_steps = self._files.lock.has_seen_more(openings, self.steps())
        self.in_doubt = is_in_doubt(
            rows=sum(self.counts().values()),
            known=self.meta().get(IDENTITY),
            now=self._files.identity,
            lost_steps=self.has_lost_steps,
        )
        self.is_suspect = is_suspect(
            rows=sum(self.counts().values()),
            known=self._files.lock.stamps,
            now=self._files.found,
        )

    def _stamps(self) -> Stamps:
        return UNSURE if self.is_suspect else self._files.stamps()

    def _remember(self) -> None:
        """A ledger in doubt is not the one that the lock file remembers."""
        if not self.in_doubt:
            self._files.lock.remember(*self.batch(), self.steps(), self._stamps())

    def _insert(self, row: PlannedRow) -> bool:
        now = self._clock()
        texts = (row.id, request_text(row), row.payload_hash, row.prompt, own_track_id(row))
        try:
            return self.db.execute(_INSERT, (*map(storable, texts), now, now)).rowcount == 1
        except sqlite3.IntegrityError as error:
            raise _same_track_id(row) from error

    def _known(self, row: PlannedRow, last: int) -> KnownRow:
        known = self.planned_as(row.id)
        if known is None or known.seq > last:
            raise LedgerError(f"two rows have the id {row.id!r}; nothing was planned")
        return known

    def _replace(self, row: PlannedRow, known: KnownRow) -> None:
        """Give a row that was not sent its new version; the history says so."""
        if known.state is RowState.PLANNED:
            self.apply(changes.skipped(known.seq, "it was given otherwise"))
        texts = (request_text(row), row.payload_hash, row.prompt, own_track_id(row))
        try:
            self.db.execute(_REPLACE, (*map(storable, texts), known.seq))
        except sqlite3.IntegrityError as error:
            raise _same_track_id(row) from error
        if not known.is_held:
            self.apply(changes.wanted_again(known.seq, "in its new version"))

    def _skip_others(self, given: set[int], last: int) -> int:
        query = "SELECT seq FROM rows WHERE state = 'planned' AND seq <= ?"
        others = [seq for (seq,) in self.db.execute(query, (last,)) if seq not in given]
        for seq in others:
            self.apply(changes.skipped(seq, "its manifest does not hold it any more"))
        return len(others)

    def _holder(self, change: Change) -> Row | None:
        job_id, handle = change.values.get("job_id"), str(change.values.get("handle"))
        holder = self.with_job_id(str(job_id), family_of(handle)) if job_id is not None else None
        return None if holder is None or holder.seq == change.row else holder

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
        # The price of the day: what is paid, or may be, counts at it ever after.
        paid = row.state is RowState.SUBMITTING and change.to in _PAID
        step = (row.seq, row.state.value, change.to.value, now, storable(change.note))
        self.db.execute(_STEP, (*step, row.cost if paid else None))
        return evolve(row, **values)

    def _take_in(self) -> None:
        for change in self.rescue.kept():
            row = self.row(change.row)
            if row.state in (RowState.SUBMITTING, RowState.AMBIGUOUS):
                self.apply(change)
            elif row.job_id != change.values["job_id"]:
                raise LedgerError(
                    f"{self.rescue.path} says that row {row.id} has job "
                    f"{change.values['job_id']}, and the ledger that it is {row.state} with job "
                    f"{row.job_id}; find out which is true, and take the line out"
                )

    def _recover(self) -> None:
        while rows := self.page([RowState.SUBMITTING], limit=_ORPHANS):
            for row in rows:
                self.apply(recovered(row.seq))
            self.recovered += len(rows)


def _configure(db: sqlite3.Connection) -> None:
    version_of(db)  # first: nothing is set in a database that is not ours
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise LedgerError(f"this file system gives SQLite no write-ahead log (mode {mode})")
    for setting in _SETTINGS:
        db.execute(setting)


def _begin(db: sqlite3.Connection, lock: Lock, now: float) -> None:
    """Begin the batch if there is none."""
    db.execute("BEGIN IMMEDIATE")
    version = version_of(db)
    if version == 0:
        create(db, str(uuid.uuid4()), now)
    elif version < VERSION:
        migrate(db)
    lock.check(Reader(db).batch()[0])
    db.execute("COMMIT")


def _check_content(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise LedgerError(f"the ledger is damaged ({found}): {DAMAGED}")
    edited = db.execute(_EDITED).fetchone()
    if edited is not None:
        row, state, last = edited
        raise LedgerError(
            f"row {row} is {state!r}, but its history ends with {last!r}: the ledger was changed "
            "by hand. Set the state back; a row is planned anew only through the program"
        )


def _same_track_id(row: PlannedRow) -> LedgerError:
    return LedgerError(
        f"row {row.id} has a track_id that another row has: {own_track_id(row)}; it names one "
        "job, so give the row another one; nothing was planned"
    )
