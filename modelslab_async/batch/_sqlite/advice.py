"""Explain SQLite's errors, with advice."""

from __future__ import annotations

import sqlite3
from typing import Final

from ...errors import LedgerError

DAMAGED: Final = (
    "keep a copy of all ledger files, because nothing else knows what is paid for. If you restore "
    "a backup, jobs that were paid for since are looked for before anything is sent"
)
_LACKING: Final = (
    "a ledger needs locks and shared memory, which this file system does not have: copy the whole "
    "directory to another disk, then run there"
)
_NO_ROOM: Final = (
    "the disk is full, or a limit of file sizes or a quota is reached: free some space, "
    "then run the same command again"
)
_ADVICE: Final = {
    "SQLITE_IOERR_LOCK": _LACKING,
    "SQLITE_IOERR_RDLOCK": _LACKING,
    "SQLITE_IOERR_SHMLOCK": _LACKING,
    "SQLITE_IOERR_SHMMAP": _LACKING,
    "SQLITE_IOERR_SHMOPEN": _LACKING,
    "SQLITE_IOERR_SHMSIZE": _NO_ROOM,  # its file of shared memory cannot grow
    "SQLITE_FULL": _NO_ROOM,
    "SQLITE_BUSY": "another program holds it: close that program, then run again",
    "SQLITE_LOCKED": "another program holds it: close that program, then run again",
    "SQLITE_READONLY": "it cannot be written to: check its permissions and the mount",
    "SQLITE_CANTOPEN": (
        "it cannot be opened: check the directory, its permissions, and the length of its path, "
        "which SQLite limits to about 490 bytes"
    ),
    "SQLITE_IOERR": "the disk fails: copy the whole directory to another disk, then run there",
    "SQLITE_CORRUPT": f"it is damaged: {DAMAGED}",
    "SQLITE_NOTADB": f"it is not a ledger, or a damaged one: {DAMAGED}",
}


def explained(error: sqlite3.Error | MemoryError, doing: str) -> LedgerError:
    """An error of SQLite, with advice."""
    name = str(getattr(error, "sqlite_errorname", type(error).__name__))
    family = "_".join(name.split("_")[:2])
    otherwise = "nothing more is written; keep a copy of the ledger's files"
    advice = _ADVICE.get(name) or _ADVICE.get(family, otherwise)
    return LedgerError(f"the ledger failed while {doing} ({error}, {name}); {advice}")
