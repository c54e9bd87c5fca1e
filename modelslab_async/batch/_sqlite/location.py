"""See that a directory is a place where a ledger can live: ours, private, local, and not in use.

Plain blocking code. WAL needs shared memory and true locks, which network file systems do not
give (SQLite documentation, "Write-Ahead Logging").
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import re
import stat
import time
from pathlib import Path
from typing import Any, Final

from ..._engine.filesystem import lock, make_durably
from ..._text import safe_text
from ...errors import LedgerError
from .directory import LOCK_NAME, Directory
from .identity import Stamp, Stamps
from .reader import LEDGER_NAME

_log = logging.getLogger("modelslab_async.batch")

_MOUNTS = Path("/proc/self/mountinfo")
# fmt: off
_FAR: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs", "fuse.ceph",
    "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs",
    "fuse.sshfs",
})
# fmt: on
_PRIVATE: Final = 0o600
_PRIVATE_DIRECTORY: Final = 0o700
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_STEPS: Final = '{"steps": '
_WIDTH: Final = 19  # so that one count is written over another, in one sector
_STAMPS: Final = ', "files": '  # follows the count, of fixed width as well
UNSURE: Final[Stamps] = (Stamp(), Stamp())
_LOCK_TRIES: Final = 3
_LOCK_PAUSE: Final = 0.02
_warned: set[tuple[int, int]] = set()


def make_directory(directory: Path) -> Path:
    """The directory, made for us alone when it is not there yet, and with its links resolved.

    Raises:
        LedgerError: it cannot be made, or it lies on a network file system.
    """
    try:
        make_durably(directory, _PRIVATE_DIRECTORY)
    except OSError as error:
        raise LedgerError(f"the directory {directory} cannot be made: {error.strerror}") from error
    resolved = directory.resolve()
    _check_file_system(resolved)
    return resolved


def open_private(path: Path, shown: Path | None = None) -> int:
    """A file descriptor of a file that only we can write to; it is made when there is none.

    Write permission of others is taken away where the file is ours, and warned about where it is
    not, or where the file system keeps no modes: volumes of a cluster add it on each mount.

    Args:
        path: where it is.
        shown: the path for messages, if that is another one.

    Raises:
        LedgerError: it is a link, no regular file, or has a second name, or it cannot be opened.
    """
    shown = shown or path
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = _opened(path, flags)
    except OSError as error:
        raise LedgerError(f"{shown} cannot be opened for writing: {error.strerror}") from error
    about = os.fstat(fd)
    fault = _fault(about)
    if fault:
        os.close(fd)
        raise LedgerError(f"{shown} {fault}")
    if about.st_mode & _OTHERS_WRITE:
        with contextlib.suppress(OSError):
            os.fchmod(fd, stat.S_IMODE(about.st_mode) & ~_OTHERS_WRITE)
    _warn_of_others(shown, about, os.fstat(fd))
    return fd


def check_ownership(path: Path, shown: Path) -> None:
    """Let a file pass that SQLite is going to use by itself: a regular one, or not there.

    Raises:
        LedgerError: as `open_private`.
    """
    with contextlib.suppress(FileNotFoundError):
        fault = _fault(path.lstat())
        if fault:
            raise LedgerError(f"{shown} {fault}")


class Lock:
    """The right to work on a directory, held until `release`, or until the process ends.

    The lock file also remembers which batch was opened here, how many times, and how many steps
    its ledger holds, so that a ledger put back from a backup, or one that lost its last writes,
    is not taken for the present. What the ledger's files were is remembered as well: a backup that
    is written over them brings an old ledger and an old lock file, but not all of the old times.

    Attributes:
        stamps: what the files were when they were last worked on; ``None``: nobody knows.
    """

    def __init__(self, directory: Directory) -> None:
        self.path = directory.shown(LOCK_NAME)
        self._fd = open_private(directory.at(LOCK_NAME), self.path)
        try:
            _lock_soon(self._fd)
        except OSError as error:
            text = _no_lock(directory.path, error, _read(self._fd))
            os.close(self._fd)
            raise LedgerError(text) from error
        self._last = _read(self._fd)
        self.stamps = _stamps(self._last)

    def check(self, batch: str) -> None:
        """Let a ledger pass that is the one last opened in this directory.

        Raises:
            LedgerError: it is gone, or another batch was put in its place.
        """
        if self._last.get("batch", batch) == batch:
            return
        moved = self._last.get("moved")
        if isinstance(moved, str):
            raise LedgerError(
                f"the batch that was here is {safe_text(moved, 1000)} now: go on with it there; "
                "what it has paid for would be paid for again here"
            )
        raise LedgerError(
            f"the ledger that was last used in {self.path.parent} is missing, and it alone knows "
            f"what was paid for: put it back, with its -wal file. Without {self.path} the "
            "directory begins anew, and pays for all rows again"
        )

    def has_seen_more(self, openings: int, steps: int) -> bool:
        """Whether the ledger once had more than this: it was restored, or writes were lost."""
        return _count(self._last, "openings") > openings or _count(self._last, "steps") > steps

    def remember(self, batch: str, openings: int, steps: int, stamps: Stamps) -> None:
        """Write down who works here and what was opened."""
        self.stamps = stamps
        _write(self._fd, batch, openings, steps, stamps)
        os.fsync(self._fd)

    def count(self, steps: int, stamps: Stamps) -> None:
        """Write down how many steps the ledger holds, and what its files are then.

        Call it after each commit. It is not synced: what a killed process wrote is kept, and after
        a power loss less is remembered than is true, which costs a look at the account's list.
        """
        text = f"{steps:{_WIDTH}}"
        if self.stamps is not None:  # else the file has no place for them yet
            text += _stamps_text(stamps)
        os.pwrite(self._fd, text.encode(), len(_STEPS))

    def stamped(self, stamps: Stamps) -> None:
        """Write down what the ledger's files are, after they were closed."""
        if self.stamps is not None:
            os.pwrite(self._fd, _stamps_text(stamps).encode(), len(_STEPS) + _WIDTH)

    def release(self) -> None:
        """Let others work here."""
        os.close(self._fd)


def leave_lock(place: Path, batch: str, steps: int, moved: str | None) -> None:
    """Keep the next run at this path from starting a batch anew that has left it while it ran.

    Nothing is written where there is a batch, or anything else than a directory of ours.

    Args:
        place: the path; a directory is made if there is nothing.
        batch: the one that was here.
        steps: that its ledger holds.
        moved: where it is now, if that is known.
    """
    with contextlib.suppress(OSError):
        make_durably(place, _PRIVATE_DIRECTORY)
        about = place.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return
        if (place / LEDGER_NAME).exists():
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(place / LOCK_NAME, flags, _PRIVATE)
        try:
            _write(fd, batch, 1, steps, UNSURE, moved=moved)
            os.fsync(fd)
        finally:
            os.close(fd)


def kind_of(directory: Path) -> str:
    """The type of the file system that a directory lies on; empty when the system does not say."""
    try:
        return file_system_of(directory, _MOUNTS.read_text("utf-8", "surrogateescape"))
    except OSError:  # not Linux
        return ""


def file_system_of(directory: Path, mounts: str) -> str:
    """The type of the file system that a directory lies on, from the text of ``mountinfo``.

    Empty when the text does not say. Source: proc_pid_mountinfo(5).
    """
    found, depth = "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) < 5 or not kinds[0]:
            continue
        point = Path(_unescaped(fields[4]))
        # A later mount on the same point covers the earlier one.
        if directory.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kinds[0], len(point.parts)
    return found


def _check_file_system(directory: Path) -> None:
    kind = kind_of(directory)
    if kind in _FAR:
        raise LedgerError(
            f"{directory} lies on a network file system ({kind}), where a ledger is not safe: "
            "work on a local disk and copy the results; a directory that holds a batch already "
            "has to be moved there whole, with its ledger"
        )
    if kind in ("tmpfs", "ramfs"):
        _log.warning("%s lies in memory (%s): its ledger ends with the machine", directory, kind)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _fault(about: os.stat_result) -> str:
    if not stat.S_ISREG(about.st_mode):
        return "is no regular file; something else was put in its place: find out what"
    if about.st_nlink > 1:  # SQLite, too, breaks a database that has two (its "How To Corrupt")
        return (
            "has more than one hard link, as some backup tools make them: remove the other name, "
            "and keep this file"
        )
    return ""


def _lock_soon(fd: int) -> None:
    """Lock a file; who only looks whether it is locked holds it for an instant as well."""
    for _ in range(_LOCK_TRIES):
        try:
            lock(fd, wait=False)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE)
        else:
            return
    lock(fd, wait=False)


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags, _PRIVATE)
    except PermissionError:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
            raise
    # It is ours, and something took our own permissions away.
    path.chmod(stat.S_IMODE(about.st_mode) | _PRIVATE)
    return os.open(path, flags, _PRIVATE)


def _warn_of_others(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    found = []
    if after.st_uid != os.geteuid():
        found.append(f"belongs to user {after.st_uid}")
    if after.st_mode & _OTHERS_WRITE:
        found.append(f"can be written to by others (mode {stat.S_IMODE(after.st_mode):04o})")
    elif before.st_mode & _OTHERS_WRITE:
        found.append("could be written to by others, and its mode was repaired")
    if found and (after.st_dev, after.st_ino) not in _warned:
        _warned.add((after.st_dev, after.st_ino))
        _log.warning("%s %s", path, " and ".join(found))


def _read(fd: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(fd, 8192, 0))
    except ValueError:  # nobody was here, or it died while writing these few bytes
        return {}
    return found if isinstance(found, dict) else {}


def _stamps(known: dict[str, Any]) -> Stamps | None:
    match known.get("files"):
        case [[*database], [*log]] if all(isinstance(one, int) for one in (*database, *log)):
            with contextlib.suppress(TypeError):
                return Stamp(*database), Stamp(*log)
    return None


def _stamps_text(stamps: Stamps) -> str:
    parts = (", ".join(f"{one:{_WIDTH}}" for one in stamp) for stamp in stamps)
    return f"{_STAMPS}[{', '.join(f'[{part}]' for part in parts)}]"


def _write(
    fd: int, batch: str, openings: int, steps: int, stamps: Stamps, **more: str | None
) -> None:
    about = {"pid": os.getpid(), "host": platform.node(), "batch": batch, "openings": openings}
    rest = json.dumps({**about, **{name: value for name, value in more.items() if value}})
    text = f"{_STEPS}{steps:{_WIDTH}}{_stamps_text(stamps)}, {rest[1:]}\n"
    os.ftruncate(fd, os.pwrite(fd, text.encode(), 0))


def _count(known: dict[str, Any], name: str) -> int:
    value = known.get(name, 0)
    return value if isinstance(value, int) else 0


def _no_lock(directory: Path, error: OSError, owner: dict[str, Any]) -> str:
    if not isinstance(error, BlockingIOError):
        return (
            f"the file system of {directory} has no file locks ({error.strerror}), so nothing "
            "would keep two runs from paying for the same rows: work on another one; a batch that "
            "is here already has to be moved there whole, with its ledger"
        )
    who = f"pid {owner.get('pid', 'unknown')} on {owner.get('host', 'an unknown host')}"
    return f"another process ({who}) works on {directory}; wait for it or stop it"
