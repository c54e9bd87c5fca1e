"""A disk that fails when it is told to: what `partfile` does with the file system goes through it.

What goes wrong is data; everything else is the real file system.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any, Literal

from attrs import define, frozen

from modelslab_async.batch._sqlite.directory import LOCK_NAME, Directory
from modelslab_async.batch._sqlite.identity import Stamp
from modelslab_async.batch._sqlite.location import _stamps_text
from modelslab_async.batch._sqlite.reader import LEDGER_NAME

Call = Literal["open", "write", "fsync", "link", "unlink"]


@frozen(kw_only=True)
class DiskFault:
    """What a call of the file system fails with: ``name`` is that of an errno.

    Attributes:
        call: which call fails.
        name: with what, such as ``ENOSPC``.
        times: how often at most; ``None``: always.
        skip: so many calls pass first.
        probability: of each.
        short: a write takes some bytes before it fails.
    """

    call: Call
    name: str
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    short: bool = False


@define
class _Armed:
    fault: DiskFault
    skip: int
    left: float


class Disk:
    """Stands where a module has ``os``."""

    def __init__(self, seed: int) -> None:
        self.touched = 0
        self._dice = Random(f"{seed}|disk")
        self._armed: list[_Armed] = []

    def arm(self, faults: Iterable[DiskFault]) -> None:
        """From now on, these faults and no others."""
        self._armed = [
            _Armed(one, one.skip, float("inf") if one.times is None else one.times)
            for one in faults
        ]

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, *args: Any, **settings: Any) -> int:
        if args[1] & os.O_CREAT:
            self._fail("open")
        return os.open(*args, **settings)

    def write(self, fd: int, data: Any) -> int:
        fault = self._struck("write")
        if fault is not None and fault.short and len(data) > 1:
            os.write(fd, data[: len(data) // 2])
        if fault is not None:
            raise _error(fault)
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        self._fail("fsync")
        os.fsync(fd)

    def link(self, *args: Any, **settings: Any) -> None:
        self._fail("link")
        os.link(*args, **settings)

    def _fail(self, call: Call) -> None:
        fault = self._struck(call)
        if fault is not None:
            raise _error(fault)

    def _struck(self, call: Call) -> DiskFault | None:
        for one in self._armed:
            fault = one.fault
            if fault.call != call or one.left < 1 or self._dice.random() >= fault.probability:
                continue
            if one.skip:
                one.skip -= 1
                continue
            one.left -= 1
            self.touched += 1
            return fault
        return None


def _error(fault: DiskFault) -> OSError:
    number = getattr(errno, fault.name)
    return OSError(number, os.strerror(number))


def put_back(taken: Path, directory: Path) -> None:
    """Make the files what they were, and leave them the same: a copy would be known as one."""
    directory.mkdir(exist_ok=True)
    for path in directory.iterdir():
        if not (taken / path.name).exists():
            path.unlink()
    for path in taken.iterdir():
        about = path.stat()
        (directory / path.name).write_bytes(path.read_bytes())
        os.utime(directory / path.name, ns=(about.st_atime_ns, about.st_mtime_ns))
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        _tell_the_lock(directory)
    shutil.rmtree(taken)


def _tell_the_lock(directory: Path) -> None:
    """No time of change can be put back, so the lock file is told the new ones.

    But not if it had others when the process died: it may die between a commit and its note.
    """
    lock = directory / LOCK_NAME
    text = lock.read_text("utf-8")
    known = json.loads(text)["files"]
    was = [Stamp(*stamp) for stamp in known]
    place = Directory(directory)
    now = [place.stamp(name) for name in (LEDGER_NAME, f"{LEDGER_NAME}-wal")]
    place.close()
    told = [new if old[1:] == new[1:] else old for old, new in zip(was, now, strict=True)]
    old, new = (_stamps_text((database, log)) for database, log in (was, told))
    lock.write_text(text.replace(old, new), "utf-8")
