"""File systems that lack something, played by the system calls of this process."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from modelslab_async._engine import filesystem

NOT_SUPPORTED = ("ENOSYS", "EINVAL", "ENOTSUP", "EPERM", "EACCES", "EIO", "EMLINK", "EXDEV")
"""How FUSE servers, network mounts and memory cards say that they do not know a call."""

LACKING = ("nothing", "hard_links", "exclusive_renames")
"""What is missing for a publish; each of them includes those before it."""


def failing(number: int) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


def lack(monkeypatch: pytest.MonkeyPatch, missing: str, number: int = errno.EPERM) -> None:
    """From now on publishing has to do without this."""
    degree = (*LACKING, "renames").index(missing)
    if degree >= 1:
        monkeypatch.setattr(os, "link", failing(number))
    if degree >= 2:
        monkeypatch.setattr(filesystem, "_rename_exclusively", failing(number))
    if degree >= 3:
        monkeypatch.setattr(Path, "rename", failing(number))


def lack_locks(monkeypatch: pytest.MonkeyPatch, number: int, *, all_kinds: bool) -> None:
    """From now on there is no `flock`; no lock at all, if ``all_kinds``."""
    monkeypatch.setattr(fcntl, "flock", failing(number))
    if all_kinds:
        monkeypatch.setattr(fcntl, "fcntl", failing(number))


def lack_directory_sync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """From now on a directory cannot be synced."""
    fsync = os.fsync

    def files_only(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", files_only)
