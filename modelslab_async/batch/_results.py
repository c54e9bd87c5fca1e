"""Write ``results.jsonl``: what became of each row, for people and for other programs.

The ledger is what a batch goes by; this file is made from it. A line is appended when a row ends,
with one write, so that a killed process leaves whole lines; they are synced when the file is
closed. In the end the file is replaced by one in which each row has one line, in their order.
Plain blocking code.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from attrs import asdict, field, frozen

from .._engine.filesystem import sync_directory
from ..errors import LedgerError

RESULTS_NAME: Final = "results.jsonl"

_PART_NAME: Final = f".{RESULTS_NAME}.part"
_BLOCK: Final = 64 * 1024
_BUFFER: Final = 1024 * 1024
_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_CREAT


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


def _copied(fields: Mapping[str, Any]) -> dict[str, Any]:
    return dict(fields)


def _seconds() -> Any:
    return field(default=None, converter=_finite)


@frozen(kw_only=True)
class Result:
    """What became of one row. ``None`` means that it is not known.

    Attributes:
        row: number of the row in its batch.
        id: its own stable key.
        job_id: the server's id of the job.
        track_id: as it was sent.
        prompt: as it was sent.
        path: the file; ``None`` if there is none.
        seconds: of audio in the file.
        sha256: of the file, in hex.
        source_sha256: of the bytes as the server sent them.
        generation_time: seconds on the server, if it said so.
        waited: seconds from acceptance until the job was known to have ended.
        polls: how often the job was asked for.
        attempts: how often a submit was sent, or was about to be.
        error: why there is no file; ``None`` if there is one.
        fields: what the manifest says about the row that is not ours.
    """

    row: int
    id: str
    job_id: str | None = None
    track_id: int | str | None = None
    prompt: str
    path: str | None = None
    seconds: float | None = _seconds()
    sha256: str | None = None
    source_sha256: str | None = None
    generation_time: float | None = _seconds()
    waited: float | None = _seconds()
    polls: int = 0
    attempts: int = 0
    error: str | None = None
    fields: Mapping[str, Any] = field(factory=dict, converter=_copied, hash=False)


def result_line(result: Result) -> bytes:
    """One line of JSON, in ASCII: no prompt can break a line or drive a terminal.

    Raises:
        ValueError: ``fields`` holds what JSON has no form for.
    """
    return (json.dumps(asdict(result, recurse=False), allow_nan=False) + "\n").encode("ascii")


class ResultsFile:
    """The file while a batch runs. Used by one thread at a time, in one process.

    Args:
        directory: the output directory.

    Raises:
        LedgerError: the name is taken by something that is no regular file.
        OSError: the directory cannot be written to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.path = directory / RESULTS_NAME
        self._fd = _open_regular(self.path, os.O_RDWR | os.O_APPEND)
        try:
            self._size = _cut_torn_line(self._fd)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, result: Result) -> None:
        """Add a line.

        Raises:
            OSError: it cannot be written, as on a full disk; the file is as it was before.
        """
        line = result_line(result)
        try:
            _write(self._fd, line)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line)

    def finish(self, results: Iterable[Result]) -> None:
        """Close the file, and put one in its place that holds these results and no others.

        Whatever happens meanwhile, the name leads to the whole old file or to the whole new one.

        Args:
            results: in the order of their rows, one for each.

        Raises:
            LedgerError: they are not in that order; the old file stands.
            OSError: it cannot be written; the old file stands.
        """
        self.close()
        part = self._directory / _PART_NAME
        try:
            _write_whole(part, results)
            part.replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):  # the next one that is written replaces it
                part.unlink(missing_ok=True)
            raise
        sync_directory(self._directory)

    def close(self) -> None:
        """Sync the lines to disk, and close. Closing twice is closing once.

        Raises:
            OSError: the disk does not take them.
        """
        if self._fd < 0:
            return
        try:
            os.fsync(self._fd)
        finally:
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1  # first: a close that fails has closed it all the same
        os.close(fd)


def _open_regular(path: Path, flags: int) -> int:
    try:
        fd = os.open(path, flags | _FLAGS, 0o666)  # less the umask, as any file the user makes
    except OSError as error:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise _foreign(path) from error
        raise
    about = os.fstat(fd)
    if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:  # a second name may be anybody's file
        return fd
    os.close(fd)
    raise _foreign(path)


def _foreign(path: Path) -> LedgerError:
    return LedgerError(
        f"{path.name} in the output directory is no regular file with one name: nothing was sent. "
        "It is made from the ledger: remove it, and nothing else, then run again"
    )


def _cut_torn_line(fd: int) -> int:
    """Cut what follows the last line end, which a power cut may have left; return the size."""
    size = end = os.fstat(fd).st_size
    while end:
        start = max(end - _BLOCK, 0)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        end = start if found < 0 else start + found + 1
        if found >= 0:
            break
    if end < size:
        os.ftruncate(fd, end)
    return end


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _write_whole(path: Path, results: Iterable[Result]) -> None:
    path.unlink(missing_ok=True)  # a dead process left it, or somebody planted it
    with os.fdopen(_open_regular(path, os.O_WRONLY | os.O_EXCL), "wb", _BUFFER) as file:
        last = None
        for result in results:
            if last is not None and result.row <= last:
                raise LedgerError(f"row {result.row} came after row {last}: the results are mixed")
            last = result.row
            file.write(result_line(result))
        file.flush()
        os.fsync(file.fileno())
