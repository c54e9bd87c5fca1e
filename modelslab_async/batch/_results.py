"""Write ``results.jsonl``: what became of each row, for people and for other programs.

The ledger is what a batch goes by; this file is made from it when a run ends: one line a row, in
their order. The name leads to the whole old file or to the whole new one. Plain blocking code.
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
        reason: why there is no file; ``None`` if there is one.
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
    reason: str | None = None
    fields: Mapping[str, Any] = field(factory=dict, converter=_copied, hash=False)


def result_line(result: Result) -> bytes:
    """One line of JSON, in ASCII: no prompt can break a line or drive a terminal.

    Raises:
        ValueError: ``fields`` holds what JSON has no form for.
    """
    return (json.dumps(asdict(result, recurse=False), allow_nan=False) + "\n").encode("ascii")


def check_results_name(directory: Path) -> None:
    """See, before anything is paid for, that the file can have its name.

    Raises:
        LedgerError: something has it that is no regular file.
        OSError: nobody can tell.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG((directory / RESULTS_NAME).lstat().st_mode):
            raise LedgerError(
                f"{RESULTS_NAME} in the output directory is no regular file: nothing was sent. "
                "It is made from the ledger: remove it, and nothing else, then run again"
            )


def write_results(directory: Path, results: Iterable[Result]) -> None:
    """Put a file in place that holds these results and no others.

    Args:
        directory: the output directory.
        results: in the order of their rows, one for each.

    Raises:
        LedgerError: they are not in that order; the old file stands.
        OSError: it cannot be written; the old file stands.
    """
    part = directory / _PART_NAME
    try:
        _write(part, results)
        part.replace(directory / RESULTS_NAME)
    except BaseException:
        with contextlib.suppress(OSError):  # the next one that is written replaces it
            part.unlink(missing_ok=True)
        raise
    sync_directory(directory)


def _write(path: Path, results: Iterable[Result]) -> None:
    path.unlink(missing_ok=True)  # a dead process left it, or somebody planted it
    fd = os.open(path, _FLAGS, 0o666)  # less the umask, as any file the user makes
    with os.fdopen(fd, "wb", _BUFFER) as file:
        last = None
        for result in results:
            if last is not None and result.row <= last:
                raise LedgerError(f"row {result.row} came after row {last}: the results are mixed")
            last = result.row
            file.write(result_line(result))
        file.flush()
        os.fsync(file.fileno())


def result_of(row: Row) -> Result:
    """What the ledger knows of a row, as the results file says it."""
    _, fields = read_record(row.request)
    ended = row.finished_at is not None and row.accepted_at is not None
    is_done = row.state is RowState.DONE  # before, what is known of the file is only expected
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
        generation_time=row.generation_time,
        waited=(row.finished_at or 0.0) - (row.accepted_at or 0.0) if ended else None,
        polls=row.polls,
        attempts=row.attempt,
        reason=None if is_done else row.error,
        fields=fields,
    )
