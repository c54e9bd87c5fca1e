"""Stop paying while no file arrives. What is paid for stays on the server, and costs nothing more.

Only so many jobs are paid for since the last sign of a file, whatever keeps the others: silent
storage, jobs that take for ever, jobs that the API forgets. A file that arrived counts for all, and
bytes of one that had no trouble yet for its row: slow storage stops nothing. Beside that, rows
whose file was given up and downloads in trouble show sooner that none comes. Nothing here sends or
writes anything.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from typing import Final

import anyio

from .._policy.error_mapping import download_outage
from .._policy.queue import backoff
from ..errors import ModelsLabError

_log = logging.getLogger("modelslab_async.batch")

_GIVEN_UP: Final = 3
_IN_TROUBLE: Final = 5
_LEAST_AHEAD: Final = 10
_MOST_PROBES: Final = 5


class Arrivals:
    """Whether files arrive, and so whether to pay for more.

    Args:
        missing: how many files earlier runs have not brought, after the last one that they did.
        under_way: rows that were paid for since then, and go on in this run.
        room: rows that may be on their way to a file at once: so many may be paid for before the
            first shows, and ten at least.

    Attributes:
        alone: held by the one row that may be paid for while none does.
    """

    def __init__(self, missing: int, under_way: Iterable[int] = (), room: int = 0) -> None:
        self.alone = anyio.Lock()
        # Whatever starts a stopped batch again and again pays for one file each time at most.
        self._failed_before = missing >= _GIVEN_UP
        self._probes = _MOST_PROBES - 1 if self._failed_before else 0
        self._given_up: dict[int, ModelsLabError] = {}
        self._in_trouble: set[int] = set()
        self._paid = set(under_way)
        self._most = max(room, _LEAST_AHEAD)
        self._over = False
        self._news = anyio.Event()

    @property
    def are_late(self) -> bool:
        """Whether no more jobs are paid for, but the one that is `alone`."""
        return not self._over and (self._fail or len(self._paid) >= self._most)

    @property
    def _fail(self) -> bool:
        return (
            self._failed_before
            or len(self._given_up) >= _GIVEN_UP
            or len(self._in_trouble) >= _IN_TROUBLE
        )

    @property
    def _is_hopeless(self) -> bool:
        return self._probes >= _MOST_PROBES and bool(self._given_up)

    def pay(self, row: int, *, alone: bool = False) -> bool:
        """Whether a row may be paid for now; if so, it counts as paid for from here on.

        Args:
            row: its number; one that was refused and tries again counts once.
            alone: it holds `alone`.
        """
        self._paid.discard(row)
        if self.are_late and not alone:
            return False
        self._paid.add(row)
        return True

    def unpaid(self, row: int) -> None:
        """The row is no longer waited for: its file comes, or it was not accepted."""
        self._paid.discard(row)
        self._tell()

    def moves(self, row: int) -> None:
        """Bytes of a row's file have come; after trouble they say no more: it may loop."""
        if row in self._paid and row not in self._in_trouble:
            self.unpaid(row)

    def in_trouble(self, row: int) -> None:
        """A try to bring the file of a row failed, and another follows."""
        self._in_trouble.add(row)
        self._tell()

    def gave_up(self, row: int, error: ModelsLabError) -> None:
        """The file of a row that is paid for does not arrive in this run, whatever the reason."""
        self._given_up[row] = error
        self.in_trouble(row)

    def arrived(self) -> None:
        """A file is on disk, so the next ones can be expected to arrive, too."""
        self._given_up.clear()
        self._in_trouble.clear()
        self._paid.clear()
        self._failed_before = False
        self._probes = 0
        self._tell()

    def end(self) -> None:
        """Nothing more is paid for anyway, so nobody has to wait to do so."""
        self._over = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def probe(self) -> ModelsLabError | None:
        """Wait until a file has arrived, or one more row may be paid for to find out.

        Returns:
            Why none may: nothing has arrived of so many that waiting longer is no use.
        """
        while self.are_late and not self._fail:  # slow, maybe: each of these ends, or shows a file
            await self._news.wait()
        if not self.are_late:
            return None
        _log.warning("no file arrives: until one does, jobs are paid for one by one, or not at all")
        with anyio.move_on_after(backoff(self._probes, random.random())):
            while not self._is_hopeless and self.are_late:
                await self._news.wait()
        if self._is_hopeless:
            last = next(reversed(self._given_up.values()))
            return download_outage(len(self._given_up), last)
        self._probes += 1
        return None
