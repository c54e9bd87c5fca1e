"""Keep rows that are rate limited again and again from delaying the others.

A full queue affects all rows alike, and passes. But the API may refuse one request forever, as too
large by itself: its row lets all others go first, and is given up once it has been refused often
while they were accepted. Nothing here sends or writes anything.
"""

from __future__ import annotations

from typing import Final

import anyio

PATIENCE: Final = 5
"""Refusals after which a row lets the others go first."""

_HOPELESS: Final = 30
_OVERTAKEN: Final = 3


class Turns:
    """Which rows are submitted for the first time, and how often the others were refused."""

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._accepted = 0
        self._since: dict[int, int] = {}
        self._refusals: dict[int, int] = {}
        self._calm = anyio.Event()

    def came(self, row: int) -> None:
        """A row is about to be submitted."""
        self._new.add(row)
        self._since[row] = self._accepted

    def accepted(self, row: int) -> None:
        """A row's job was accepted."""
        self._accepted += 1
        self._passed(row)

    def refused(self, row: int) -> int:
        """A row was refused `PATIENCE` times more; return how often in all."""
        self._refusals[row] = self._refusals.get(row, 0) + PATIENCE
        self._passed(row)
        return self._refusals[row]

    def ended(self, row: int) -> None:
        """A row is not submitted any more in this run."""
        self._since.pop(row, None)
        self._refusals.pop(row, None)
        self._passed(row)

    def is_hopeless(self, row: int) -> bool:
        """Whether a row was refused so often, while others were accepted, that it never will be."""
        overtaken = self._accepted - self._since.get(row, self._accepted)
        return self._refusals.get(row, 0) >= _HOPELESS and overtaken >= _OVERTAKEN

    async def others(self) -> None:
        """Wait until each row has been accepted or refused, or has ended."""
        while self._new:
            await self._calm.wait()

    def _passed(self, row: int) -> None:
        self._new.discard(row)
        if not self._new:
            self._calm.set()
            self._calm = anyio.Event()
