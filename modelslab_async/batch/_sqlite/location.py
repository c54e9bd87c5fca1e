"""Check that a directory can hold a ledger: ours, private, local, and not in use. Blocking.

WAL needs shared memory and reliable locks, which network file systems do not have (SQLite
documentation, "Write-Ahead Logging").
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
from ..._policy.error_mapping import disk_remedy
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
    """Create the directory, private, if it does not exist; return it with its links resolved.

    Raises:
        LedgerError: it cannot be created, or is on a network file system.
    """
    try:
        make_durably(directory, _PRIVATE_DIRECTORY)
    except OSError as error:
        remedy = f"{disk_remedy(error)}, then run again"
        if directory.is_symlink():
            remedy = (
                f"it is a link to {directory.readlink()}, which is not there: mount its disk if it "
                "holds a batch, else create it"
            )
        elif isinstance(error, FileExistsError | NotADirectoryError):
            remedy = "name another one"
        text = f"the directory {directory} cannot be created: {error.strerror}; {remedy}"
        raise LedgerError(text) from error
    resolved = directory.resolve()
    kind = kind_of(resolved)
    if kind in _FAR:
        raise LedgerError(
            f"{resolved} is on a network file system ({kind}), where a ledger is not safe: work on "
            "a local disk and copy the results; move an existing batch there as a whole, with its "
            "ledger"
        )
    if kind in ("tmpfs", "ramfs"):
        _log.warning("%s is in memory (%s): its ledger is lost with the machine", resolved, kind)
    return resolved


def open_private(path: Path, shown: Path | None = None) -> int:
    """Open a file that only we can write to, and return its descriptor; create it if missing.

    Write permission of others is removed if the file is ours. If it is not, or the file system
    keeps no modes, as the volumes of a cluster do, there is a warning.

    Args:
        path: of the file.
        shown: the path for messages, if it differs.

    Raises:
        LedgerError: it is a link, not a regular file, has a second name, or cannot be opened.
    """
    shown = shown or path
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        try:
            fd = os.open(path, flags, _PRIVATE)
        except PermissionError:
            about = path.lstat()
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
                raise
            # It is ours, and something has removed our own permissions.
            path.chmod(stat.S_IMODE(about.st_mode) | _PRIVATE)
            fd = os.open(path, flags, _PRIVATE)
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
    """Check a file that SQLite opens by itself: it must be regular, or not exist.

    Raises:
        LedgerError: as `open_private`.
    """
    with contextlib.suppress(FileNotFoundError):
        fault = _fault(path.lstat())
        if fault:
            raise LedgerError(f"{shown} {fault}")


class Lock:
    """The lock of a directory, held until `release` or until the process ends.

    The lock file also records which batch was opened here, how often, and how many transitions its
    ledger holds, to detect a ledger that was restored from a backup or has lost its last writes.
    It also records the times of the ledger's files: restoring a backup over them brings an old
    ledger and an old lock file, but not all of the old times.

    Attributes:
        stamps: of the files when they were last used; ``None``: not known.
    """

    def __init__(self, directory: Directory) -> None:
        self.path = directory.shown(LOCK_NAME)
        self._fd = open_private(directory.at(LOCK_NAME), self.path)
        try:
            _lock_soon(self._fd)
        except OSError as error:
            text = (
                f"the file system of {directory.path} has no file locks ({error.strerror}), so two "
                "runs could pay for the same rows: use another one; move an existing batch there "
                "as a whole, with its ledger"
            )
            if isinstance(error, BlockingIOError):
                owner = _read(self._fd)
                who = f"pid {owner.get('pid', 'unknown')} on {owner.get('host', 'an unknown host')}"
                text = f"another process ({who}) works on {directory.path}; wait for it or stop it"
            os.close(self._fd)
            raise LedgerError(text) from error
        self._last = _read(self._fd)
        self.stamps: Stamps | None = None
        match self._last.get("files"):
            case [[*files], [*log]] if all(isinstance(one, int) for one in (*files, *log)):
                with contextlib.suppress(TypeError):
                    self.stamps = Stamp(*files), Stamp(*log)

    def check(self, batch: str) -> None:
        """Check that a ledger is the one last opened in this directory.

        Raises:
            LedgerError: that one is missing, or was replaced.
        """
        if self._last.get("batch", batch) == batch:
            return
        moved = self._last.get("moved")
        if isinstance(moved, str):
            raise LedgerError(
                f"the batch that was here is {safe_text(moved, 1000)} now: continue it there; "
                "here, what it has paid for would be paid for again"
            )
        raise LedgerError(
            f"the ledger that was last used in {self.path.parent} is missing, and only it knows "
            f"what was paid for: put it back, with its -wal file. If you delete {self.path}, the "
            "batch starts again, and pays for all rows again"
        )

    def has_seen_more(self, openings: int, steps: int) -> bool:
        """Whether the ledger once had more than this: it was restored, or writes were lost."""
        return _count(self._last, "openings") > openings or _count(self._last, "steps") > steps

    def remember(self, batch: str, openings: int, steps: int, stamps: Stamps) -> None:
        """Record this process and what it has opened."""
        self.stamps = stamps
        _write(self._fd, batch, openings, steps, stamps)
        os.fsync(self._fd)

    def count(self, steps: int, stamps: Stamps) -> None:
        """Record the number of transitions in the ledger, and the times of its files.

        Call it after each commit. It is not synced: a kill loses nothing, and a power loss only
        costs a look at the account's list.
        """
        text = f"{steps:{_WIDTH}}"
        if self.stamps is not None:  # else the file has no space for them yet
            text += _stamps_text(stamps)
        os.pwrite(self._fd, text.encode(), len(_STEPS))

    def stamped(self, stamps: Stamps) -> None:
        """Record the times of the ledger's files after they were closed."""
        if self.stamps is not None:
            os.pwrite(self._fd, _stamps_text(stamps).encode(), len(_STEPS) + _WIDTH)

    def release(self) -> None:
        """Unlock the directory."""
        os.close(self._fd)


def leave_lock(place: Path, batch: str, steps: int, moved: str | None) -> None:
    """Keep the next run at this path from restarting a batch that was moved while it ran.

    Nothing is written if there is a batch, or anything but a directory of ours.

    Args:
        place: the path; a directory is created if nothing exists.
        batch: the one that was here.
        steps: the number of transitions in its ledger.
        moved: where it is now, if known.
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
    """The type of a directory's file system; empty if not known."""
    try:
        return file_system_of(directory, _MOUNTS.read_text("utf-8", "surrogateescape"))
    except OSError:  # not Linux
        return ""


def file_system_of(directory: Path, mounts: str) -> str:
    """The type of a directory's file system, from the text of ``mountinfo``; empty if not known.

    Source: proc_pid_mountinfo(5).
    """
    found, depth = "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) < 5 or not kinds[0]:
            continue
        octal = re.compile(r"\\([0-7]{3})")
        point = Path(octal.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # A later mount on the same point covers the earlier one.
        if directory.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kinds[0], len(point.parts)
    return found


def _fault(about: os.stat_result) -> str:
    if not stat.S_ISREG(about.st_mode):
        return "is not a regular file: find out what has replaced it"
    if about.st_nlink > 1:  # SQLite can corrupt such a database ("How To Corrupt", SQLite docs)
        return (
            "has more than one hard link, as some backup tools make them: remove the other name, "
            "and keep this file"
        )
    return ""


def _lock_soon(fd: int) -> None:
    """Lock a file; retry, because a process that only checks the lock holds it for an instant."""
    for _ in range(_LOCK_TRIES):
        try:
            lock(fd, wait=False)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE)
        else:
            return
    lock(fd, wait=False)


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
    except ValueError:  # a new file, or its process died while writing these few bytes
        return {}
    return found if isinstance(found, dict) else {}


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
