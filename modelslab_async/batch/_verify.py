"""Compare the files of done rows with the ledger. Blocking; it only reads.

A stat finds a file that is missing, replaced or of another size. Other bytes of the same size are
found only by their hash: modification times change when a directory is copied.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

from .._engine.filesystem import spelled
from .._engine.partfile import holds, open_unfollowed
from ._rows import StoredFile
from ._sqlite.reader import Reader


class FaultKind(enum.StrEnum):
    """What is wrong with the file of a done row."""

    MISSING = "missing"
    """No file has its name."""
    CHANGED = "changed"
    """Something else has its name, or its bytes are not those that were saved."""
    UNREADABLE = "unreadable"
    """It could not be checked, and may be intact."""

    @property
    def is_lost(self) -> bool:
        """Whether the saved file is known to be gone."""
        return self is not FaultKind.UNREADABLE


@frozen(kw_only=True)
class FileFault:
    """A file of a done row that differs from what was saved.

    Attributes:
        row: number of the row, from 1.
        id: the row's own key.
        path: the file, relative to the batch's directory.
        kind: what is wrong.
        reason: the same as text, to follow the path.
    """

    row: int
    id: str
    path: str
    kind: FaultKind
    reason: str


def verify_batch(
    directory: Path, *, content: bool = False, progress: Callable[[int], None] | None = None
) -> Iterator[FileFault]:
    """The files of done rows that are missing, changed or unreadable, in the order of the rows.

    It needs no write access, creates no files, and may run beside a run of the batch. Memory is
    constant. `ModelsLab.batch` with ``retry_missing`` downloads what is missing or changed, free of
    charge.

    Args:
        directory: of the batch.
        content: also read each file and compare its SHA-256; without it, only existence, kind and
            size are compared.
        progress: called after each file with the number of files checked so far.

    Raises:
        LedgerError: there is no batch, or its ledger cannot be read.
    """
    checked = 0
    with Reader.open(directory) as reader:
        last = 0
        while page := reader.files(after=last):
            for file in page:
                fault = fault_of(directory, file, content=content)
                if fault is not None:
                    yield fault
                checked += 1
                if progress is not None:
                    progress(checked)
            last = page[-1].row


def fault_of(directory: Path, file: StoredFile, *, content: bool) -> FileFault | None:
    """What is wrong with one file, or ``None``. See `verify_batch`."""
    try:
        found = _compared(directory, file, content=content)
    except (FileNotFoundError, NotADirectoryError):
        found = FaultKind.MISSING, "is not there"
    except OSError as error:
        found = FaultKind.UNREADABLE, f"cannot be read: {error.strerror}"
    if found is None:
        return None
    kind, reason = found
    return FileFault(row=file.row, id=file.id, path=file.path, kind=kind, reason=reason)


def _compared(directory: Path, file: StoredFile, *, content: bool) -> tuple[FaultKind, str] | None:
    name = os.path.basename(file.path)  # noqa: PTH119 - a hundred thousand times
    if name != file.path or not name or "\0" in name:
        return FaultKind.UNREADABLE, "is not a name in the directory: the ledger was edited"
    path = os.path.join(directory, spelled(file.path))  # noqa: PTH118 - likewise
    about = os.lstat(path)
    kind = stat.S_IFMT(about.st_mode)
    if kind != stat.S_IFREG:
        words = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link"}
        return FaultKind.CHANGED, f"is now {words.get(kind, 'not a regular file')}"
    if about.st_size != file.size:
        return FaultKind.CHANGED, f"has {about.st_size} bytes and was saved with {file.size}"
    if not content:
        return None
    fd = open_unfollowed(Path(path))
    try:
        is_same = holds(fd, file.size, file.sha256)
    finally:
        os.close(fd)
    return None if is_same else (FaultKind.CHANGED, "has the same size, but other content")
