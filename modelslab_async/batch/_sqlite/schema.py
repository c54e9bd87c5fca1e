"""The tables of a ledger, and the migration of older ones.

The views are for people: ``sqlite3 ledger.sqlite3 'select * from row_status'``.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from ...errors import LedgerError
from .._rows import family_of

APPLICATION_ID: Final = 0x4D4C4247  # "MLBG"

_ROWS = """
CREATE TABLE rows (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN (
        'planned', 'submitting', 'submitted', 'ready', 'done', 'rejected', 'ambiguous', 'failed',
        'detached', 'output_lost', 'abandoned', 'skipped')),
    request TEXT NOT NULL,
    payload_hash TEXT NOT NULL,
    track_id TEXT UNIQUE,
    attempt INTEGER NOT NULL DEFAULT 0,
    cost TEXT,
    job_id TEXT,
    handle TEXT,
    family TEXT NOT NULL DEFAULT '',
    prompt TEXT NOT NULL,
    path TEXT,
    sha256 TEXT,
    source_sha256 TEXT,
    size INTEGER,
    seconds REAL,
    integrity TEXT,
    flags TEXT,
    peak_dbfs REAL,
    sound_sha256 TEXT,
    error_kind TEXT,
    error TEXT,
    planned_at REAL NOT NULL,
    submitted_at REAL,
    accepted_at REAL,
    finished_at REAL,
    done_at REAL,
    polls INTEGER NOT NULL DEFAULT 0,
    generation_time REAL,
    updated_at REAL NOT NULL,
    peaks BLOB
)
"""

_TRANSITIONS = """
CREATE TABLE transitions (
    n INTEGER PRIMARY KEY,
    row INTEGER NOT NULL REFERENCES rows (seq),
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    at REAL NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    cost TEXT
)
"""

_BATCH = """
CREATE TABLE batch (
    uuid TEXT NOT NULL,
    created_at REAL NOT NULL,
    version INTEGER NOT NULL,
    openings INTEGER NOT NULL DEFAULT 0
)
"""

# Values of the whole batch: limits, prices, and the account that it belongs to.
_META = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID
"""

_ISO = "strftime('%Y-%m-%dT%H:%M:%fZ', {column}, 'unixepoch') AS {name}"


def _iso(column: str, name: str) -> str:
    return _ISO.format(column=column, name=name)


_INSTANTS = ("planned", "submitted", "accepted", "finished", "done", "updated")

_ROW_STATUS = f"""
CREATE VIEW row_status AS
SELECT seq, id, state, prompt, track_id, attempt, cost, job_id, path, seconds, size, sha256,
    source_sha256, integrity, flags, peak_dbfs, error_kind, error, polls, generation_time,
    {", ".join(_iso(f"{name}_at", name) for name in _INSTANTS)}
FROM rows
"""  # noqa: S608 - made of constants

_HISTORY = f"""
CREATE VIEW history AS
SELECT t.n, r.seq, r.id, t.old, t.new, {_iso("t.at", "at")}, t.note, t.cost
FROM transitions t JOIN rows r ON r.seq = t.row
UNION ALL
SELECT 0, seq, id, '', 'planned', {_iso("planned_at", "at")}, '', NULL FROM rows
ORDER BY 1
"""  # noqa: S608 - made of constants


_ONE_ROW_A_JOB = """
CREATE UNIQUE INDEX one_row_a_job ON rows (job_id, family) WHERE job_id IS NOT NULL
"""

_BY_SOUND = """
CREATE INDEX rows_by_sound ON rows (sound_sha256) WHERE sound_sha256 IS NOT NULL
"""

_STATEMENTS: Final = (
    _BATCH,
    _ROWS,
    _ONE_ROW_A_JOB,
    _BY_SOUND,
    "CREATE INDEX rows_by_state ON rows (state)",
    _TRANSITIONS,
    "CREATE INDEX transitions_by_row ON transitions (row)",
    _META,
    _ROW_STATUS,
    _HISTORY,
    f"PRAGMA application_id = {APPLICATION_ID}",
)
VERSION: Final = 4
_OLDEST: Final = 2
"""In this version, jobs of two families could not have the same id. It is read unchanged."""
_SOUND: Final = ("flags TEXT", "peak_dbfs REAL", "sound_sha256 TEXT", "peaks BLOB")
"""Columns that versions before 4 lack."""


def version_of(db: sqlite3.Connection) -> int:
    """The schema version of an open ledger; 0 for an empty file.

    Raises:
        LedgerError: it is another program's database, or a ledger of an unsupported version.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    owner = int(db.execute("PRAGMA application_id").fetchone()[0])
    tables = int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if tables and owner != APPLICATION_ID:
        raise LedgerError("the ledger's file is a database of another program; choose a directory")
    if version > VERSION:
        raise LedgerError(
            f"the ledger has schema version {version}, and this program knows {VERSION}: it was "
            "written by a newer version of this program; use that one"
        )
    if 0 < version < _OLDEST:
        raise LedgerError(
            f"the ledger has schema version {version}, and this program knows {VERSION}: it was "
            "written by an older version of this program; finish the batch with that one"
        )
    return version


def migrate(db: sqlite3.Connection) -> None:
    """Migrate an older ledger. Runs inside the caller's transaction."""
    if version_of(db) < 3:
        _add_families(db)
    for column in _SOUND:
        db.execute(f"ALTER TABLE rows ADD COLUMN {column}")
    db.execute(_BY_SOUND)
    db.execute("DROP VIEW row_status")
    db.execute(_ROW_STATUS)
    db.execute("UPDATE batch SET version = ?", (VERSION,))
    db.execute(f"PRAGMA user_version = {VERSION}")


def adapt(db: sqlite3.Connection) -> None:
    """Let an older ledger, open for reading only, answer questions about the columns it lacks.

    A temporary view stands in for its table, on this connection alone.
    """
    if version_of(db) < 4:
        missing = ", ".join(f"NULL AS {column.split()[0]}" for column in _SOUND)
        db.execute(f"CREATE TEMP VIEW rows AS SELECT *, {missing} FROM main.rows")  # noqa: S608


def _add_families(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE rows ADD COLUMN family TEXT NOT NULL DEFAULT ''")
    handles = db.execute("SELECT seq, handle FROM rows WHERE handle IS NOT NULL")
    families = [(family_of(handle), seq) for seq, handle in handles]
    db.executemany("UPDATE rows SET family = ? WHERE seq = ?", families)
    db.execute("DROP INDEX one_row_a_job")
    db.execute(_ONE_ROW_A_JOB)


def create(db: sqlite3.Connection, uuid: str, now: float) -> None:
    """Create the tables of a new batch. Runs inside the caller's transaction."""
    for statement in _STATEMENTS:
        db.execute(statement)
    query = "INSERT INTO batch (uuid, created_at, version) VALUES (?, ?, ?)"
    db.execute(query, (uuid, now, VERSION))
    db.execute(f"PRAGMA user_version = {VERSION}")
