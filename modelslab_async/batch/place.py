"""See that a directory is a place where a ledger can live: ours, private, local, and not in use.

Plain blocking code. WAL needs shared memory and true locks, which network file systems do not
give (SQLite documentation, "Write-Ahead Logging").
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import stat
from pathlib import Path
from typing import Any, Final

from ..errors import LedgerError
from ..filesystem import lock, make_durably

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


def open_private(path: Path) -> int:
    """A file descriptor of a file that only we can read; the file is made when there is none.

    Raises:
        LedgerError: it is a link or no regular file, belongs to somebody else, others can write
            to it, or it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, _PRIVATE)
    except OSError as error:
        raise LedgerError(f"{path} cannot be opened for writing: {error.strerror}") from error
    fault = _fault(os.fstat(fd))
    if fault:
        os.close(fd)
        raise _untrusted(path, fault)
    return fd


def refuse_planted(path: Path) -> None:
    """Let a file pass that SQLite is going to use by itself: it is ours alone, or not there.

    Raises:
        LedgerError: as `open_private`.
    """
    try:
        fault = _fault(path.lstat())
    except FileNotFoundError:
        return
    if fault:
        raise _untrusted(path, fault)


class Lock:
    """The right to work on a directory, held until `release`, or until the process ends.

    The lock file also remembers which batch was opened here and how many times, so that a ledger
    put back from a backup, or one that lost its last writes, is not taken for the present.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ledger.lock"
        self._fd = open_private(self._path)
        try:
            lock(self._fd, wait=False)
        except OSError as error:
            text = _no_lock(directory, error, self._read())
            os.close(self._fd)
            raise LedgerError(text) from error

    def check(self, batch: str, openings: int) -> None:
        """Let a ledger pass that is not older than the one last opened in this directory.

        Raises:
            LedgerError: another batch, or an older state of this one, was put in its place.
        """
        last = self._read()
        known, count = last.get("batch", batch), last.get("openings", 0)
        if known == batch and isinstance(count, int) and count <= openings:
            return
        raise LedgerError(
            "the ledger is missing or older than the one last used in this directory; rows that "
            "it calls planned may have been paid for since. Put the right one back, or remove "
            f"{self._path} to go on with this one"
        )

    def remember(self, batch: str, openings: int) -> None:
        """Write down who works here and what was opened."""
        about = {"pid": os.getpid(), "host": platform.node()}
        text = json.dumps({**about, "batch": batch, "openings": openings}) + "\n"
        os.ftruncate(self._fd, os.pwrite(self._fd, text.encode(), 0))
        os.fsync(self._fd)

    def release(self) -> None:
        """Let others work here."""
        os.close(self._fd)

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(os.pread(self._fd, 4096, 0))
        except ValueError:  # nobody was here, or it died while writing these few bytes
            return {}
        return found if isinstance(found, dict) else {}


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
    try:
        mounts = _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:  # not Linux
        return
    kind = file_system_of(directory, mounts)
    if kind in _FAR:
        raise LedgerError(
            f"{directory} lies on a network file system ({kind}), where a ledger is not safe: "
            "use a local directory and copy the results"
        )
    if kind in ("tmpfs", "ramfs"):
        _log.warning("%s lies in memory (%s): its ledger ends with the machine", directory, kind)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _untrusted(path: Path, fault: str) -> LedgerError:
    return LedgerError(f"{path} {fault}: it is not trusted; move it away or use another place")


def _fault(about: os.stat_result) -> str:
    if not stat.S_ISREG(about.st_mode):
        return "is no regular file"
    if about.st_nlink > 1:  # SQLite, too, breaks a database that has two (its "How To Corrupt")
        return "has a second name, a hard link"
    if about.st_uid != os.geteuid():
        return "belongs to another user"
    if about.st_mode & _OTHERS_WRITE:
        return "can be written to by others"
    return ""


def _no_lock(directory: Path, error: OSError, owner: dict[str, Any]) -> str:
    if not isinstance(error, BlockingIOError):
        return (
            f"the file system of {directory} has no file locks ({error.strerror}), so nothing "
            "would keep two runs from paying for the same rows: use a directory on another one"
        )
    who = f"pid {owner.get('pid', 'unknown')} on {owner.get('host', 'an unknown host')}"
    return f"another process ({who}) works on {directory}; wait for it or stop it"
