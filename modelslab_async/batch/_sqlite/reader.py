"""Read a ledger. Blocking; it changes nothing, and waits only for SQLite's own locks.

Another process may be writing to the ledger. Reading needs no write access and creates no files:
SQLite alone would create two beside a ledger with a write-ahead log.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self

from attrs import frozen

from ..._text import safe_text
from ...errors import LedgerError
from .._rows import (
    COLUMNS,
    HELD,
    ErrorSummary,
    KnownRow,
    Row,
    SoundSummary,
    StateSummary,
    Step,
    StoredFile,
    storable,
)
from .._states import RowState
from .._transitions import ELSEWHERE
from .advice import explained
from .directory import LOCK_NAME
from .schema import adapt, version_of
from .sounds import flagged, summary_of

LEDGER_NAME: Final = "ledger.sqlite3"
ORIGIN: Final = "origin"
"""What the origin that was paid is called among the values of the whole batch."""
TEMPLATE: Final = "template"
"""What the template of file names is called there, unless it is the first default."""

_TRIES: Final = 5
_ALL: Final = f"SELECT {', '.join(COLUMNS)} FROM rows WHERE "  # noqa: S608 - made of constants
_ENTERPRISE: Final = "coalesce(json_extract(request, '$.enterprise'), 0)"
_KNOWN: Final = f"""
SELECT seq, payload_hash, state, error_kind IS ?, {_ENTERPRISE}, flags FROM rows WHERE id = ?
"""  # noqa: S608 - made of constants
_PAGE: Final = _ALL + "state = ? AND seq > ?"
_SINCE: Final = "seq > ? OR seq IN (SELECT row FROM transitions WHERE n > ?) ORDER BY seq LIMIT ?"
_IS_PAID: Final = "t.old = 'submitting' AND t.new IN ('submitted', 'ready', 'ambiguous')"
_PAID: Final = f"""
SELECT t.cost, CASE WHEN t.cost IS NULL THEN r.request ELSE '' END AS unpriced, count(*)
FROM transitions t JOIN rows r ON r.seq = t.row WHERE {_IS_PAID} GROUP BY t.cost, unpriced
"""  # noqa: S608 - made of constants
_ACCEPTED: Final = """
SELECT CAST(job_id AS INTEGER), accepted_at FROM rows
WHERE family = ? AND job_id GLOB '[0-9]*' AND accepted_at IS NOT NULL
"""
_MISSING: Final = """
SELECT seq, state = 'submitted' FROM rows
WHERE state IN ('submitted', 'detached', 'ready', 'output_lost', 'failed')
AND coalesce(finished_at, accepted_at) > coalesce((SELECT max(done_at) FROM rows), 0)
"""
_SUMMARY: Final = """
SELECT state, count(*), min(updated_at), max(updated_at), sum(size), sum(seconds)
FROM rows GROUP BY state
"""
_ERRORS: Final = """
SELECT error_kind, count(*), min(seq), error FROM rows
WHERE state = ? AND error IS NOT NULL GROUP BY error_kind ORDER BY 2 DESC
"""
_FILES: Final = """
SELECT seq, id, coalesce(path, ''), coalesce(size, -1), coalesce(sha256, '') FROM rows
WHERE state = 'done' AND seq > ? ORDER BY seq LIMIT ?
"""
_FLOOR: Final = """
SELECT max(CAST(job_id AS INTEGER)) FROM rows WHERE job_id GLOB '[0-9]*' AND family = :family AND (
    SELECT max(n) FROM transitions WHERE row = seq
    AND old IN ('submitting', 'ambiguous') AND new IN ('submitted', 'ready')
) < (
    SELECT min(n) FROM (
        SELECT max(t.n) AS n FROM transitions t JOIN rows lost ON lost.seq = t.row
        WHERE lost.state = 'ambiguous' AND t.new = 'submitting' GROUP BY t.row
    )
)
"""

# Another copy went on after all that this one knows, but for what was found of it since. Nothing
# is a floor where this one, too, has answers that are lost: they may be older.
_FLOOR_OF_A_COPY: Final = """
SELECT max(CAST(job_id AS INTEGER)) FROM rows WHERE job_id GLOB '[0-9]*' AND family = :family
AND NOT EXISTS (SELECT 1 FROM rows WHERE state = 'ambiguous')
AND NOT EXISTS (SELECT 1 FROM transitions WHERE row = seq AND note LIKE :elsewhere)
"""
_MEMORY: Final = "/dev/shm"  # noqa: S108 - the directory gets a name that nobody else has


class Reader:
    """Questions to an open ledger. Used by one thread at a time."""

    def __init__(self, db: sqlite3.Connection, copy: TemporaryDirectory[str] | None = None) -> None:
        self.db = db
        self._copy = copy

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the ledger of a directory, to look at it only.

        Raises:
            LedgerError: there is none, or it cannot be read.
        """
        path = directory / LEDGER_NAME
        if not path.is_file():
            raise LedgerError(f"there is no batch in {directory}: it has no {LEDGER_NAME}")
        with contextlib.ExitStack() as undo:
            db, copy = _opened(path)
            reader = cls(db, copy)
            undo.callback(reader.close)
            if not _version(db):  # an empty file: its process was killed at the start
                raise LedgerError(f"there is no batch in {directory}: its {LEDGER_NAME} is empty")
            adapt(db)
            undo.pop_all()
        return reader

    def close(self) -> None:
        """Close the ledger."""
        try:
            self.db.close()
        finally:
            if self._copy is not None:
                self._copy.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if isinstance(error, sqlite3.Error):
            raise explained(error, "it was read") from error

    def row(self, key: int | str) -> Row:
        """One row, by its ``seq`` (an int) or by its ``id`` (a str).

        Raises:
            LedgerError: there is no such row.
        """
        found = self._one("seq = ?" if isinstance(key, int) else "id = ?", key)
        if found is None:
            raise LedgerError(f"the batch has no row {key!r}")
        return found

    def planned_as(self, row_id: str) -> KnownRow | None:
        """The known row with an id; ``None`` if there is none."""
        found = self.db.execute(_KNOWN, (HELD, storable(row_id))).fetchone()
        return None if found is None else KnownRow(*found)

    def ids(self) -> Iterator[tuple[int, str]]:
        """Number and id of all rows."""
        return iter(self.db.execute("SELECT seq, id FROM rows ORDER BY seq"))

    def last_seq(self) -> int:
        """The ``seq`` of the last row, or 0."""
        return int(self.db.execute("SELECT coalesce(max(seq), 0) FROM rows").fetchone()[0])

    def with_job_id(self, job_id: str, family: str | None = None) -> Row | None:
        """The row of a job; ``family``: the path below which it is fetched."""
        if family is not None:
            return self._one("job_id = ? AND family = ?", job_id, family)
        return self._one("job_id = ?", job_id)

    def sounds(self) -> SoundSummary:
        """What was found of the sound of done rows."""
        return summary_of(self.db)

    def flagged(self, flags: Iterable[str]) -> Iterator[Row]:
        """The done rows whose sound has any of these flags, such as ``silent``."""
        return map(self.row, flagged(self.db, flags))

    def page(
        self, states: Iterable[RowState] = RowState, *, after: int = 0, limit: int = 500
    ) -> list[Row]:
        """At most ``limit`` rows in these states with ``seq`` above ``after``, by ``seq``."""
        wanted = list(dict.fromkeys(states))
        if not wanted:
            return []
        # One part per state, which SQLite merges: each is sorted already by the index on state.
        query = " UNION ALL ".join([_PAGE] * len(wanted)) + " ORDER BY seq LIMIT ?"
        places = [value for state in wanted for value in (state.value, after)]
        return [Row(*record) for record in self.db.execute(query, (*places, limit))]

    def each(self, states: Iterable[RowState] = RowState, *, size: int = 500) -> Iterator[Row]:
        """All rows in these states by ``seq``, ``size`` of them in memory at a time."""
        wanted, after = tuple(states), 0
        while page := self.page(wanted, after=after, limit=size):
            yield from page
            after = page[-1].seq

    def changed(self, step: int = 0, seq: int = 0, *, limit: int) -> tuple[int, list[Row]]:
        """The number of the last transition, and at most ``limit`` rows that changed, by ``seq``.

        Those are the rows with a transition after ``step``, and all above ``seq``.
        """
        last = self.db.execute("SELECT coalesce(max(n), 0) FROM transitions").fetchone()[0]
        records = self.db.execute(_ALL + _SINCE, (seq, step, limit))
        return int(last), [Row(*record) for record in records]

    def files(self, *, after: int = 0, limit: int = 500) -> list[StoredFile]:
        """Files of at most ``limit`` done rows with ``seq`` above ``after``, by ``seq``."""
        return [StoredFile(*record) for record in self.db.execute(_FILES, (after, limit))]

    def counts(self) -> dict[RowState, int]:
        """How many rows are in each state."""
        found = dict(self.db.execute("SELECT state, count(*) FROM rows GROUP BY state"))
        return {state: found.get(state.value, 0) for state in RowState}

    def history(self, seq: int) -> list[Step]:
        """The transitions of one row, oldest first."""
        query = "SELECT n, row, old, new, at, note FROM transitions WHERE row = ? ORDER BY n"
        return [Step(*record) for record in self.db.execute(query, (seq,))]

    def meta(self) -> dict[str, str]:
        """The values of the whole batch, by name."""
        return dict(self.db.execute("SELECT name, value FROM meta"))

    def paid(self) -> Iterator[tuple[str | None, str, int]]:
        """All submits of all runs that were paid for, or may have been.

        As (cost at that time, ``''``, number), or (``None``, request, number) without a cost.
        """
        return iter(self.db.execute(_PAID))

    def planned(self) -> Iterator[tuple[str, str, bool]]:
        """The id and payload hash of each planned row, and whether an enterprise twin gets it."""
        query = f"SELECT id, payload_hash, {_ENTERPRISE} FROM rows WHERE state = 'planned'"  # noqa: S608
        for row_id, payload_hash, enterprise in self.db.execute(query):
            yield row_id, payload_hash, bool(enterprise)

    def is_paid_for(self) -> bool:
        """Whether any submit of any run was paid for, or may have been."""
        query = f"SELECT EXISTS (SELECT 1 FROM transitions t WHERE {_IS_PAID})"  # noqa: S608
        return bool(self.db.execute(query).fetchone()[0])

    def missing(self) -> tuple[int, list[int]]:
        """The number of jobs that ended without a file, and the rows of those that have not ended.

        Only jobs that ended, or were accepted, after the last file was saved.
        """
        found = self.db.execute(_MISSING).fetchall()
        under_way = [row for row, has_not_ended in found if has_not_ended]
        return len(found) - len(under_way), under_way

    def attempts(self) -> int:
        """The number of submits that were begun, in all runs."""
        return int(self.db.execute("SELECT sum(attempt) FROM rows").fetchone()[0] or 0)

    def summary(self) -> dict[RowState, StateSummary]:
        """A summary of each state that has rows."""
        found = {}
        for state, rows, first, last, size, seconds in self.db.execute(_SUMMARY).fetchall():
            errors = self.db.execute(_ERRORS, (state,)) if state != RowState.DONE else ()
            kinds = tuple(ErrorSummary(*one) for one in errors)
            found[RowState(state)] = StateSummary(rows, first, last, size, seconds, kinds)
        return found

    def rate(self, window: float = 600.0) -> float | None:
        """Rows per second that were done recently; ``None`` if none were.

        Args:
            window: seconds to look back.
        """
        query = "SELECT count(done_at), min(submitted_at) FROM rows WHERE done_at >= ?"
        done, begun = self.db.execute(query, (time.time() - window,)).fetchone()
        if not done:
            return None
        return float(done / max(min(time.time() - begun, window), 1.0))

    def floor(self, *, is_copy: bool, family: str) -> int:
        """The highest job id of a family that was accepted before the first lost submit, or 0.

        The order is that of the ledger's history, because the time of day may jump.
        """
        query = _FLOOR_OF_A_COPY if is_copy else _FLOOR
        values = {"elsewhere": f"{ELSEWHERE}%", "family": family}
        return int(self.db.execute(query, values).fetchone()[0] or 0)

    def accepted(self, family: str) -> Iterator[tuple[int, float]]:
        """The decimal ids of a family's jobs, and when they were accepted."""
        return iter(self.db.execute(_ACCEPTED, (family,)))

    def batch(self) -> tuple[str, int]:
        """The batch's uuid, and how often it was opened for writing."""
        uuid, openings = self.db.execute("SELECT uuid, openings FROM batch").fetchone()
        return str(uuid), int(openings)

    def _one(self, condition: str, *values: int | str) -> Row | None:
        record = self.db.execute(_ALL + condition, [*map(storable, values)]).fetchone()
        return None if record is None else Row(*record)


def holds_batch(directory: Path) -> bool:
    """Whether a directory holds a batch. One that was killed at its start has an empty ledger.

    Raises:
        LedgerError: there is a ledger, but it cannot be read.
    """
    path = directory / LEDGER_NAME
    if not path.is_file():
        return False
    db, copy = _opened(path)
    with contextlib.closing(Reader(db, copy)):
        return _version(db) > 0


def is_writable(directory: Path) -> bool:
    """Whether the ledger of a directory can be written to."""
    return os.access(directory, os.W_OK | os.X_OK) and os.access(directory / LEDGER_NAME, os.W_OK)


@frozen
class Runner:
    """The process that works on a directory.

    Attributes:
        pid: its process id; ``None``: not known yet.
        host: the name of its machine, printable.
    """

    pid: int | None
    host: str


def runner_of(directory: Path) -> Runner | None:
    """The process of this machine that works on a directory now, or ``None``."""
    if not _is_worked_on(directory / LEDGER_NAME):
        return None
    try:
        about = json.loads((directory / LOCK_NAME).read_bytes()[:8192])
    except (OSError, ValueError):  # it is being written
        about = {}
    known = about if isinstance(about, dict) else {}
    pid = known.get("pid")
    return Runner(pid if isinstance(pid, int) else None, safe_text(known.get("host", ""), 80))


def _version(db: sqlite3.Connection) -> int:
    try:
        return version_of(db)
    except sqlite3.Error as error:
        raise explained(error, "it was opened for reading") from error


def _opened(path: Path) -> tuple[sqlite3.Connection, TemporaryDirectory[str] | None]:
    """The ledger, opened read-only, and the temporary copy that was opened, if any."""
    try:
        log_size = 0
        with contextlib.suppress(FileNotFoundError):
            log_size = Path(f"{path}-wal").stat().st_size
        if not log_size:  # else a run is in progress or was killed, and has commits there
            return _connected(path, "mode=ro&immutable=1"), None
        if _is_worked_on(path):
            with contextlib.suppress(sqlite3.OperationalError):  # we may not open its shared memory
                db = _connected(path, "mode=ro")
                try:
                    version_of(db)
                except BaseException:
                    db.close()
                    raise
                return db, None
        return _copied(path)
    except sqlite3.Error as error:
        raise explained(error, "it was opened for reading") from error
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror}") from error


def _is_worked_on(path: Path) -> bool:
    """Whether a process of this machine has the ledger open, so that its log is consistent."""
    if not Path(f"{path}-shm").exists():
        return False
    try:
        fd = os.open(path.with_name(LOCK_NAME), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: a copy is always correct
        return False
    finally:
        os.close(fd)
    return False


def _copied(path: Path) -> tuple[sqlite3.Connection, TemporaryDirectory[str]]:
    """A private copy of the ledger and its log, made while neither changed."""
    try:
        copy = TemporaryDirectory(prefix="modelslab-")
    except FileNotFoundError as error:  # in containers, only this memory may be writable
        try:
            copy = TemporaryDirectory(prefix="modelslab-", dir=_MEMORY)
        except OSError:
            raise error from None
    try:
        for _ in range(_TRIES):
            before = _stamps(path)
            for name in before:
                shutil.copyfile(path.with_name(name), Path(copy.name, name))
            if _stamps(path) == before:
                break
        return _connected(Path(copy.name, path.name), "mode=rw"), copy
    except BaseException:
        copy.cleanup()
        raise


def _stamps(path: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for each in (path, Path(f"{path}-wal")):
        with contextlib.suppress(FileNotFoundError):
            about = each.stat()
            found[each.name] = (about.st_mtime_ns, about.st_size)
    return found


def _connected(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=10.0)
