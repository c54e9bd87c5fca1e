"""Stop paying while no file arrives. What is paid for stays on the server, and costs nothing more.

A download that fails says so late, after all its links and all its patience. So three signs count,
each since the last file that arrived: downloads that were given up and jobs that failed, downloads
that had trouble and go on trying, and jobs that finished meanwhile. Nothing here sends or
writes anything.
"""

from __future__ import annotations

import logging
import random
from typing import Final

import anyio

from .._policy.error_mapping import download_outage
from .._policy.queue import backoff
from ..errors import ModelsLabError

_log = logging.getLogger("modelslab_async.batch")

_GIVEN_UP: Final = 3
_IN_TROUBLE: Final = 5
_FINISHED: Final = 25
_MOST_PROBES: Final = 5


class Arrivals:
    """Whether files arrive, and so whether to pay for more.

    Args:
        missing: how many files earlier runs have not brought, after the last one that they did.

    Attributes:
        alone: held by the one row that may be paid for while none does.
    """

    def __init__(self, missing: int) -> None:
        self.alone = anyio.Lock()
        # Whatever starts a stopped batch again and again pays for one file each time at most.
        self._failed_before = missing >= _GIVEN_UP
        self._probes = _MOST_PROBES - 1 if self._failed_before else 0
        self._given_up: dict[int, ModelsLabError] = {}
        self._in_trouble: set[int] = set()
        self._finished: set[int] = set()
        self._over = False
        self._news = anyio.Event()

    @property
    def are_late(self) -> bool:
        """Whether no more jobs are paid for, but the one that is `alone`."""
        return not self._over and (self._fail or len(self._finished) >= _FINISHED)

    @property
    def _fail(self) -> bool:
        return (
            self._failed_before
            or len(self._given_up) >= _GIVEN_UP
            or len(self._in_trouble) >= _IN_TROUBLE
        )

    def finished(self, row: int) -> None:
        """The job of a row is finished, and its file is to be brought."""
        self._finished.add(row)
        self._tell()

    def in_trouble(self, row: int) -> None:
        """A try to bring the file of a row failed, and another follows."""
        self._in_trouble.add(row)
        self._tell()

    def gave_up(self, row: int, error: ModelsLabError) -> None:
        """The file of a row did not arrive in this run."""
        self._given_up[row] = error
        self.in_trouble(row)

    def arrived(self) -> None:
        """A file is on disk, so the next ones can be expected to arrive, too."""
        self._given_up.clear()
        self._in_trouble.clear()
        self._finished.clear()
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
        _log.warning("no file arrives: until one does, jobs are paid for one by one, or not at all")
        while self.are_late and not self._fail:  # slow, maybe: only time tells
            await self._news.wait()
        if not self.are_late:
            return None
        if self._probes >= _MOST_PROBES and self._given_up:
            last = next(reversed(self._given_up.values()))
            return download_outage(len(self._given_up), last)
        with anyio.move_on_after(backoff(self._probes, random.random())):
            while self.are_late:
                await self._news.wait()
        self._probes += 1
        return None
