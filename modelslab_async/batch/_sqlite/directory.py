"""Hold one output directory open while a batch works in it, even if its path changes. Blocking.

Files are opened through a descriptor of the directory, so that a rename never separates them.
Before something is paid for, `Directory.check` makes sure that the user's path still leads here,
and that the ledger's files are still those that are open.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from ..._engine.filesystem import sync_directory
from ...errors import LedgerError, LedgerMoved
from .identity import Stamp

LOCK_NAME: Final = "ledger.lock"

# With O_PATH, a directory need not be listable to work in it.
_FLAGS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_DESCRIPTORS: Final = Path("/proc/self/fd")
_REMOVED: Final = " (deleted)"

_Identity = tuple[int, int]


class Directory:
    """An open directory.

    Attributes:
        path: the user's path, absolute; for messages and for the check.
        through: a path that leads to this directory even after a rename, if the system has one;
            else ``path``.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay: the user's own path
        try:
            self._fd = os.open(self.path, _FLAGS)
        except OSError as error:
            raise LedgerError(f"{self.path} cannot be opened: {error.strerror}") from error
        self._watched: dict[str, _Identity] = {}
        self._log = ""
        self._log_fd = -1
        self._log_size = 0
        self._is_log_cut = False
        self.through = self.path
        stable = _DESCRIPTORS / str(self._fd)
        with contextlib.suppress(OSError):
            if _identity(stable.stat()) == self._own():
                self.through = stable

    @property
    def is_stable(self) -> bool:
        """Whether files are opened through the descriptor; if not, a rename separates them."""
        return self.through != self.path

    def at(self, name: str) -> Path:
        """A path for opening a file of the directory."""
        return self.through / name

    def shown(self, name: str) -> Path:
        """The same for messages."""
        return self.path / name

    def watch(self, name: str) -> None:
        """Let `check` make sure that this name keeps belonging to the same file.

        Raises:
            OSError: it does not exist.
        """
        self._watched[name] = _identity(self._look(name))

    def watch_log(self, name: str) -> None:
        """As `watch`; and let `check` make sure that the file shrinks only from `begin` to `end`.

        Raises:
            OSError: it does not exist.
        """
        self.watch(name)
        self._log = name
        self._log_fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd)
        self.end()

    def begin(self) -> None:
        """Call this before writing to the log: nothing may have truncated it since `end`."""
        if self._log and self._size_of_log() < self._log_size:
            self._is_log_cut = True

    def end(self) -> None:
        """Call this after writing to the log; if truncated meanwhile, it begins with zeros."""
        if self._log:
            self._log_size = self._size_of_log()
            if not any(os.pread(self._log_fd, 4, 0)):
                self._is_log_cut = True

    def check(self) -> None:
        """Make sure that jobs may be paid for.

        Raises:
            LedgerMoved: the directory or a watched file was renamed, removed, replaced or
                truncated.
        """
        fault = self._fault()
        if fault:
            raise LedgerMoved(
                f"{fault}. Nothing more is paid for. Do not start this batch again: only its "
                "ledger knows what is paid for",
                directory=self.found(),
            )

    def found(self) -> str | None:
        """Where the directory is now; ``None`` if it was removed, or is not known."""
        try:
            place = str((_DESCRIPTORS / str(self._fd)).readlink())
        except OSError:
            place = str(self.path)
        try:
            return place if _identity(os.stat(place)) == self._own() else None  # noqa: PTH116
        except OSError:
            return None

    def is_at_its_path(self) -> bool:
        """Whether the path still leads here."""
        try:
            return _identity(self.path.stat()) == self._own()
        except OSError:
            return False

    def stamp(self, name: str) -> Stamp:
        """The times and the size of a file; zeros if it does not exist."""
        try:
            about = self._look(name)
        except OSError:
            return Stamp()
        return Stamp(about.st_ctime_ns, about.st_mtime_ns, about.st_size)

    def sync(self) -> None:
        """Make the names in the directory durable."""
        sync_directory(self.through)

    def close(self) -> None:
        """Close the directory."""
        if self._log:
            os.close(self._log_fd)
        os.close(self._fd)

    def _fault(self) -> str:
        if not self.is_at_its_path():
            place = self.found()
            if place is None:
                return f"{self.path} was removed, replaced or covered while the batch ran"
            return f"{self.path} was renamed while the batch ran; it is {place} now"
        for name, known in self._watched.items():
            try:
                about = self._look(name)
            except OSError:
                return f"{self.shown(name)} was removed while the batch ran"
            if _identity(about) != known:
                return f"{self.shown(name)} was replaced while the batch ran"
        self.begin()
        if self._is_log_cut:
            return f"{self.shown(self._log)} was truncated while the batch ran"
        return ""

    def _look(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._fd, follow_symlinks=False)

    def _size_of_log(self) -> int:
        return os.fstat(self._log_fd).st_size

    def _own(self) -> _Identity:
        return _identity(os.fstat(self._fd))


def _identity(about: os.stat_result) -> _Identity:
    return about.st_dev, about.st_ino
