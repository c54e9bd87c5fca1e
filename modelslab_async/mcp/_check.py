"""Compare the files of a batch with its ledger, within the time of one call. Blocking."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
from typing import Any, Final

from mcp.types import CallToolResult

from .._text import safe_text
from ..batch import FileFault, Reader, verify_batch
from ._answers import answer

_SECONDS: Final = 35.0
_NAMED: Final = 10


class _OutOfTime(Exception):
    """The rest of the files is not read."""


def about_files(folder: Path, *, seconds: float = _SECONDS) -> CallToolResult:
    """Files that are missing or changed, and what may be wrong with the sound of the others.

    Args:
        folder: of the batch.
        seconds: files are read for so long at most.
    """
    end = time.monotonic() + seconds
    checked = 0
    faults: list[FileFault] = []

    def progress(count: int) -> None:
        nonlocal checked
        checked = count
        if time.monotonic() >= end:
            raise _OutOfTime

    is_complete = True
    try:
        for fault in verify_batch(folder, content=True, progress=progress):
            faults.append(fault)  # noqa: PERF402  those found before the time is over, too
    except _OutOfTime:
        is_complete = False
    data: dict[str, Any] = {
        "batch": folder.name,
        "files_checked": checked,
        "complete": is_complete,
        "faults": len(faults),
        "first_faults": [_fault(fault) for fault in faults[:_NAMED]],
        **_sounds(folder),
    }
    place = quote(str(folder))
    if not is_complete:
        data["next"] = f"the person can check all files with `modelslab-async verify {place}`"
    elif faults:
        data["next"] = (
            "the person can download missing and changed files again, free, with "
            f"`modelslab-async resume {place} --retry missing --limit 0`. Do not make them again"
        )
    return answer(data)


def _fault(fault: FileFault) -> dict[str, Any]:
    return {
        "row": fault.row,
        "file": safe_text(fault.path, 120),
        "kind": fault.kind.value,
        "reason": safe_text(fault.reason, 120),
    }


def _sounds(folder: Path) -> dict[str, Any]:
    """What the check of each file's sound has found when it was saved."""
    with Reader.open(folder) as reader:
        found = reader.sounds()
        flagged: list[dict[str, Any]] = []
        for row in reader.flagged(found.flags):
            if len(flagged) == _NAMED:
                break
            flagged.append({"row": row.seq, "id": safe_text(row.id, 60), "flags": row.flags})
    return {
        "flagged": found.flagged,
        "flags": dict(found.flags),
        "first_flagged": flagged,
        "sound_not_checked": found.unchecked,
    }
