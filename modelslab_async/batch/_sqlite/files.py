"""The files of a ledger, open for writing. Blocking."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import Final

from .advice import explained
from .directory import LOCK_NAME, Directory
from .identity import Stamps, identity_of
from .location import Lock, check_ownership, kind_of, open_private
from .reader import LEDGER_NAME

_LOG_NAME: Final = f"{LEDGER_NAME}-wal"
_SIDE_NAMES: Final = (_LOG_NAME, f"{LEDGER_NAME}-shm")
_BUSY_TIMEOUT: Final = 10.0


class Files:
    """The lock and the database of a directory.

    Args:
        directory: open; closed with the rest.
        undo: receives what to close if opening fails later.

    Attributes:
        identity: distinguishes the database's file from a copy of it.
        found: `stamps` before anything was opened.

    Raises:
        LedgerError: another process works here, or a file cannot be used.
    """

    def __init__(self, directory: Directory, undo: contextlib.ExitStack) -> None:
        self.directory = directory
        undo.callback(directory.close)
        self.lock = Lock(directory)
        undo.callback(self.lock.release)
        directory.watch(LOCK_NAME)
        self.found = self.stamps()
        fd = open_private(directory.at(LEDGER_NAME), directory.shown(LEDGER_NAME))
        try:
            # Read it now: closing the file later would drop SQLite's locks on it.
            resolved = directory.path.resolve()
            self.identity = identity_of(fd, resolved / LEDGER_NAME, kind_of(resolved))
        finally:
            os.close(fd)  # SQLite gives its other files the mode of this one
        for name in _SIDE_NAMES:
            check_ownership(directory.at(name), directory.shown(name))
        directory.sync()
        directory.watch(LEDGER_NAME)
        directory.check()  # a rename meanwhile would separate the lock from the ledger
        try:
            self.db = sqlite3.connect(
                resolved / LEDGER_NAME, timeout=_BUSY_TIMEOUT, isolation_level=None
            )
        except sqlite3.Error as error:
            raise explained(error, "it was opened") from error
        undo.callback(self.db.close)

    def watch(self) -> None:
        """Also watch SQLite's log, which holds all commits since the last checkpoint.

        Raises:
            LedgerError: the directory was renamed or replaced while the database was opened.
        """
        self.directory.watch_log(_LOG_NAME)
        self.directory.check()

    def stamps(self) -> Stamps:
        """The times and sizes of the database and its log."""
        return self.directory.stamp(LEDGER_NAME), self.directory.stamp(_LOG_NAME)

    def close(self, *, keep: bool = False) -> None:
        """Close all files, the lock last.

        Args:
            keep: record the final times of the files in the lock.

        Raises:
            OSError, LedgerError: a file could not be closed; the others are closed nevertheless.
        """
        with contextlib.ExitStack() as closing:
            closing.callback(self.directory.close)
            closing.callback(self.lock.release)
            try:
                self.db.close()
                if keep:
                    with contextlib.suppress(OSError):  # costs the next run a look-up
                        self.lock.stamped(self.stamps())
            except sqlite3.Error as error:
                raise explained(error, "it was closed") from error
