"""Read what a notebook shows of saved files; `_policy.preview` decides what that is. Blocking."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from attrs import evolve

from .._policy.preview import Shown, message, preview
from .partfile import open_unfollowed

_log = logging.getLogger("modelslab_async.preview")


def html_of(files: Sequence[Shown], heading: str = "", count: int | None = None) -> str:
    """The preview of files; never raises.

    Args:
        files: the first ones, in order.
        heading: text before them.
        count: how many there are in all; ``None``: no more than these.
    """
    with closing(_opened(files)) as opened:
        return never_raising(
            lambda: preview(opened, len(files) if count is None else count, heading)
        )


def never_raising(make: Callable[[], str]) -> str:
    """What ``make`` returns; if it fails, a line instead: showing a result must not be an error."""
    try:
        return make()
    except Exception:  # noqa: BLE001 - an error of the disk, an edited ledger, a bug
        _log.exception("no preview")
        return message("no preview; the log of modelslab_async.preview says why")


def _opened(files: Sequence[Shown]) -> Generator[Shown, None, None]:
    """Each file, open for as long as the consumer has it."""
    for file in files:
        try:
            fd = open_unfollowed(Path(file.path))
        except FileNotFoundError:
            yield evolve(file, fault="is no longer there")
            continue
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            yield evolve(file, fault=f"cannot be read: {reason}")
            continue
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode) or about.st_size != file.size:
                yield evolve(file, fault="has changed since it was saved")
            else:
                yield evolve(file, read_at=partial(_read_at, fd))
        finally:
            os.close(fd)


def _read_at(fd: int, offset: int, count: int) -> bytes:
    return os.pread(fd, count, offset)
