"""Show a batch in a notebook: the counts of its ledger, and its first files. Blocking."""

from __future__ import annotations

import os
from pathlib import Path

from .._engine.filesystem import spelled
from .._engine.preview import html_of, never_raising
from .._policy.preview import MAX_PLAYERS, Shown, message
from ..errors import LedgerError
from ._rows import Row
from ._sqlite.reader import Reader
from ._states import RowState


def batch_html(directory: Path) -> str:
    """The preview of the batch in a directory, also while it runs; never raises."""
    return never_raising(lambda: _html(directory))


def _html(directory: Path) -> str:
    try:
        with Reader.open(directory) as reader:
            counts = reader.counts()
            rows = reader.page((RowState.DONE,), after=0, limit=MAX_PLAYERS)
    except LedgerError as error:
        return message(str(error))
    numbers = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    heading = f"Batch in {directory}: {numbers or 'no rows yet'}"
    files = [_shown(directory, row) for row in rows]
    return html_of(files, heading, count=counts[RowState.DONE])


def _shown(directory: Path, row: Row) -> Shown:
    """A row's file, by its name alone: an edited ledger must not show other files."""
    name = os.path.basename(row.path or "")  # noqa: PTH119 - a Path would drop a final slash
    return Shown(
        name=f"{row.id} {row.prompt}",
        path=str(directory / spelled(name)),
        size=row.size or 0,
        sha256=row.sha256 or "",
        seconds=row.seconds,
    )
