"""Hold on to one output directory while a batch works in it, whatever becomes of its path.

Plain blocking code. Files are opened through a descriptor of the directory, so that a rename
never parts them; and before something is paid for, `Directory.check` sees that the path that the
user knows still leads here, and that the ledger's files are still those that are open.
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

# A directory that may not be listed can be worked in all the same, where the system has O_PATH.
_FLAGS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_DESCRIPTORS: Final = Path("/proc/self/fd")
_REMOVED: Final = " (deleted)"

_Identity = tuple[int, int]


class Directory:
    """An open directory.

    Attributes:
        path: as the user knows it, absolute; for messages, and for the check.
        through: a path that leads to this directory even when it is renamed, where the system
            has one; else ``path``.
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
        self.through = self._stable_path()

    @property
    def is_stable(self) -> bool:
        """Whether files are reached through the descriptor; if not, a rename parts them."""
        return self.through != self.path

    def at(self, name: str) -> Path:
        """A path for opening a file of the directory."""
        return self.through / name

    def shown(self, name: str) -> Path:
        """The same for messages."""
        return self.path / name

    def watch(self, name: str) -> None:
        """From now on, `check` sees that this file is the one that has the name now.

        Raises:
            OSError: it is not there.
        """
        self._watched[name] = _identity(self._look(name))

    def watch_log(self, name: str) -> None:
        """As `watch`; and from now on the file only shrinks between `begin` and `end`.

        Raises:
            OSError: it is not there.
        """
        self.watch(name)
        self._log = name
        self._log_fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd)
        self.end()

    def begin(self) -> None:
        """Something is about to be written to the log: nothing must have cut it since `end`."""
        if self._log and self._size_of_log() < self._log_size:
            self._is_log_cut = True

    def end(self) -> None:
        """Something has been written to the log; what was cut meanwhile has zeros at its start."""
        if self._log:
            self._log_size = self._size_of_log()
            if not any(os.pread(self._log_fd, 4, 0)):
                self._is_log_cut = True

    def check(self) -> None:
        """Let work go on that may be paid for.

        Raises:
            LedgerMoved: the directory, or a file that is watched, was renamed, removed, replaced
                or cut short.
        """
        fault = self._fault()
        if fault:
            raise LedgerMoved(
                f"{fault}. Nothing more is paid for. Do not start this batch anew: its ledger "
                "alone knows what is paid for",
                directory=self.found(),
            )

    def found(self) -> str | None:
        """Where the directory is now; ``None`` when it was removed, or the system does not say."""
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
        """What the file system says of a file."""
        try:
            about = self._look(name)
        except OSError:
            return Stamp()
        return Stamp(about.st_ctime_ns, about.st_mtime_ns, about.st_size)

    def sync(self) -> None:
        """Make the names in the directory durable."""
        sync_directory(self.through)

    def close(self) -> None:
        """Let go of the directory."""
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
            return f"{self.shown(self._log)} was cut short while the batch ran"
        return ""

    def _look(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._fd, follow_symlinks=False)

    def _size_of_log(self) -> int:
        return os.fstat(self._log_fd).st_size

    def _own(self) -> _Identity:
        return _identity(os.fstat(self._fd))

    def _stable_path(self) -> Path:
        stable = _DESCRIPTORS / str(self._fd)
        with contextlib.suppress(OSError):
            if _identity(stable.stat()) == self._own():
                return stable
        return self.path


def _identity(about: os.stat_result) -> _Identity:
    return about.st_dev, about.st_ino
