"""Say what to do about what SQLite reports."""

from __future__ import annotations

import sqlite3
from typing import Final

from ...errors import LedgerError

DAMAGED: Final = (
    "keep a copy of all ledger files, for nothing else knows what is paid for. When a backup is "
    "put in its place, rows that may have been paid for since are asked about before they are sent"
)
_LACKING: Final = (
    "a ledger needs locks and memory that processes share, and the file system does not give them: "
    "copy the whole directory to another disk, then run there"
)
_ADVICE: Final = {
    "SQLITE_IOERR_LOCK": _LACKING,
    "SQLITE_IOERR_RDLOCK": _LACKING,
    "SQLITE_IOERR_SHMLOCK": _LACKING,
    "SQLITE_IOERR_SHMMAP": _LACKING,
    "SQLITE_IOERR_SHMOPEN": _LACKING,
    "SQLITE_IOERR_SHMSIZE": _LACKING,
    "SQLITE_FULL": "the disk is full: make room, then run the same command again",
    "SQLITE_BUSY": "another program holds it: close that program, then run again",
    "SQLITE_LOCKED": "another program holds it: close that program, then run again",
    "SQLITE_READONLY": "it cannot be written to: look at its permissions and at the mount",
    "SQLITE_CANTOPEN": (
        "it cannot be opened: look at the directory and its permissions, and at the length of its "
        "path, of which SQLite takes some 490 bytes"
    ),
    "SQLITE_IOERR": "the disk fails: copy the whole directory to another disk, then run there",
    "SQLITE_CORRUPT": f"it is damaged: {DAMAGED}",
    "SQLITE_NOTADB": f"it is not a ledger, or a damaged one: {DAMAGED}",
}


def explained(error: sqlite3.Error | MemoryError, doing: str) -> LedgerError:
    """What SQLite reports, with what to do about it."""
    name = str(getattr(error, "sqlite_errorname", type(error).__name__))
    family = "_".join(name.split("_")[:2])
    otherwise = "nothing more is written; keep a copy of the ledger's files"
    advice = _ADVICE.get(name) or _ADVICE.get(family, otherwise)
    return LedgerError(f"the ledger failed while {doing} ({error}, {name}); {advice}")
