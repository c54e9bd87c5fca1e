"""Show a batch in a notebook: the counts of its ledger, and its first files. Blocking."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from .._engine.filesystem import spelled
from .._engine.preview import html_of, never_raising
from .._policy.preview import MAX_PLAYERS, Shown, message
from ..errors import LedgerError
from ._rows import Row
from ._sqlite.reader import Reader
from ._states import RowState


class InNotebook:
    """What a batch shows of itself in a notebook."""

    _directory: Path

    def _repr_html_(self) -> str:
        """How many rows are in which state, and players of the first files."""
        return batch_html(self._directory)

    async def listen(self) -> Any:
        """Serve the page of this batch, also after its block; see `modelslab_async.listening.Page`.

        As the last line of a notebook's cell, ``await outcomes.listen()`` shows the page there.

        Raises:
            LedgerError: the ledger cannot be read, or has too many rows for a page.
            ConfigurationError: no port can be listened on.
        """
        # By its name: the page reads batches, so its modules may not be imported from here.
        listening = import_module(f"{__package__.rpartition('.')[0]}.listening")
        return await listening.open_page(self._directory)


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
