"""Write ``results.jsonl``: the outcome of each row, for people and for other programs. Blocking.

The ledger is the source of truth; this file is made from it at the end of a run, one line per row,
in order. It is replaced atomically.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, field, frozen

from .._engine.filesystem import sync_directory
from ..errors import LedgerError
from ._records import read_record
from ._rows import Row
from ._states import RowState

RESULTS_NAME: Final = "results.jsonl"

_PART_NAME: Final = f".{RESULTS_NAME}.part"
_BUFFER: Final = 1024 * 1024
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


@frozen(kw_only=True)
class Result:
    """The outcome of one row. ``None`` means that a value is not known.

    Attributes:
        row: number of the row in its batch.
        id: its own stable key.
        job_id: the server's id of the job.
        track_id: as submitted.
        prompt: as submitted.
        path: the file; ``None`` if there is none.
        seconds: of audio in the file.
        sha256: of the file, in hex.
        source_sha256: of the bytes as the server sent them.
        flags: what may be wrong with its sound, as in the ledger; ``None``: not checked.
        peak_dbfs: of its highest sample.
        generation_time: seconds on the server, as reported by it.
        waited: seconds from acceptance until the end of the job was noticed.
        polls: the number of polls.
        attempts: the number of submits that were begun.
        reason: why there is no file; ``None`` if there is one.
        fields: the row's unknown fields, copied from the manifest.
    """

    row: int
    id: str
    job_id: str | None = None
    track_id: int | str | None = None
    prompt: str
    path: str | None = None
    seconds: float | None = field(default=None, converter=_finite)
    sha256: str | None = None
    source_sha256: str | None = None
    flags: tuple[str, ...] | None = None
    peak_dbfs: float | None = None
    generation_time: float | None = field(default=None, converter=_finite)
    waited: float | None = field(default=None, converter=_finite)
    polls: int = 0
    attempts: int = 0
    reason: str | None = None
    fields: Mapping[str, Any] = field(factory=dict, hash=False)


def result_line(result: Result) -> bytes:
    """One line of JSON in ASCII, so that no prompt can end the line or control a terminal.

    Raises:
        ValueError: ``fields`` cannot be written as JSON.
    """
    return (json.dumps(asdict(result, recurse=False), allow_nan=False) + "\n").encode("ascii")


def check_results_name(directory: Path) -> None:
    """Check, before anything is paid for, that the file can be put in place.

    Raises:
        LedgerError: its name belongs to something that is not a regular file.
        OSError: it cannot be checked.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG((directory / RESULTS_NAME).lstat().st_mode):
            raise LedgerError(
                f"{RESULTS_NAME} in the output directory is not a regular file; nothing was sent. "
                "It is made from the ledger: remove it, and nothing else, then run again"
            )


def write_results(directory: Path, results: Iterable[Result]) -> None:
    """Replace the file by one with these results.

    Args:
        directory: the output directory.
        results: one per row, in the order of rows.

    Raises:
        LedgerError: they are not in that order; the old file is kept.
        OSError: it cannot be written; the old file is kept.
    """
    part = directory / _PART_NAME
    try:
        part.unlink(missing_ok=True)  # a dead process left it, or an attacker planted it
        fd = os.open(part, _FLAGS, 0o666)  # less the umask, as any file that the user creates
        with os.fdopen(fd, "wb", _BUFFER) as file:
            last: int | None = None
            for result in results:
                if last is not None and result.row <= last:
                    raise LedgerError(f"row {result.row} came after row {last}")
                last = result.row
                file.write(result_line(result))
            file.flush()
            os.fsync(file.fileno())
        part.replace(directory / RESULTS_NAME)
    except BaseException:
        with contextlib.suppress(OSError):  # the next run replaces it
            part.unlink(missing_ok=True)
        raise
    sync_directory(directory)


def result_of(row: Row) -> Result:
    """The outcome of a row of the ledger."""
    _, fields = read_record(row.request)
    ended = row.finished_at is not None and row.accepted_at is not None
    is_done = row.state is RowState.DONE  # before that, the file's values are only expected
    return Result(
        row=row.seq,
        id=row.id,
        job_id=row.job_id,
        track_id=row.track_id,
        prompt=row.prompt,
        path=row.path if is_done else None,
        seconds=row.seconds if is_done else None,
        sha256=row.sha256 if is_done else None,
        source_sha256=row.source_sha256 if is_done else None,
        flags=row.flags if is_done else None,
        peak_dbfs=row.peak_dbfs if is_done else None,
        generation_time=row.generation_time,
        waited=(row.finished_at or 0.0) - (row.accepted_at or 0.0) if ended else None,
        polls=row.polls,
        attempts=row.attempt,
        reason=None if is_done else row.error,
        fields=fields,
    )
