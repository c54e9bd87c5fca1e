"""The ledger of a batch, for async code: a write is on disk when its call returns.

One thread (`writer`) owns the only connection. A cancelled caller returns only after its write has
been committed or has failed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from .._engine.aio import wait_shielded
from ..errors import LedgerError
from . import _transitions as changes
from ._rows import Planned, PlannedRow, Row, Storable
from ._sqlite.directory import Directory
from ._sqlite.reader import TEMPLATE, Reader
from ._sqlite.store import Store
from ._sqlite.writer import Answer, Request, Writer
from ._states import RowState
from ._transitions import Change

T = TypeVar("T")

_log = logging.getLogger("modelslab_async.batch")


class Ledger:
    """The ledger of one output directory. Open it with ``async with``, in one process at a time.

    These are available while it is open.

    Attributes:
        recovered: the number of rows that a dead process left between intent and answer, which
            are AMBIGUOUS now.
        name: the batch's uuid.
        place: the open directory.
        in_doubt: the directory was copied or restored, or its ledger has lost writes: nothing is
            submitted until `accept`.
        is_suspect: its files were changed between two runs: jobs of planned rows have to be looked
            for before any is submitted.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.directory = directory
        self.recovered = 0
        self.name = ""
        self.in_doubt = self.is_suspect = False
        self.place: Directory
        self._clock = clock
        self._writer: Writer | None = None
        self._counts: Mapping[RowState, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    async def __aenter__(self) -> Self:
        """Open the ledger; create it if there is none.

        Raises:
            LedgerError: see `Store.open`.
        """
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        writer = Writer(self.directory, self._clock)
        try:
            opened = await writer.open()
        except BaseException:
            await wait_shielded(asyncio.ensure_future(writer.close()))
            raise
        self._writer, self.place = writer, opened.place
        self.name, self.recovered = opened.name, opened.recovered
        self.in_doubt, self.is_suspect = opened.in_doubt, opened.is_suspect
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Complete pending writes, close the ledger, and unlock the directory."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        closing = asyncio.ensure_future(writer.close())
        cancelled = await wait_shielded(closing)
        self._counts = writer.counts
        trouble = closing.exception()
        if trouble is not None and error is None:
            raise trouble
        if trouble is not None:  # the error of the block matters more
            _log.error("the ledger could not be closed in order: %s", trouble)
        if cancelled is not None:
            raise cancelled

    async def write(self, change: Change) -> Row:
        """Apply a change to its row, and return the new row once it is on disk.

        The row becomes AMBIGUOUS if the API returned a job id that another row has.

        Raises:
            LedgerError: the row cannot make this transition, or the ledger can no longer be
                written to. An answer to a paid submit is then in the side file, and its job in
                ``.job`` and ``.job_id`` of the error.
        """
        return await self._ask(lambda store: store.apply(change), writes=True, change=change)

    async def write_all(self, steps: Sequence[Change]) -> None:
        """Apply changes in this order, all of them or none.

        Raises:
            LedgerError: as `write`.
        """

        def write(store: Store) -> None:
            for step in steps:
                store.apply(step)

        await self._ask(write, writes=True)

    async def plan(
        self,
        rows: Iterable[PlannedRow],
        *,
        replaces: bool = False,
        whole: bool = False,
        template: str | None = None,
    ) -> Planned:
        """Add rows in this order, all or none; ``rows`` is consumed in the ledger's thread.

        If rows have changed since they were submitted, nothing is written, and they are named. See
        `Store.plan`. With them, a ``template`` for the names of files is kept.

        Raises:
            LedgerError: two rows have the same id, a request cannot be stored, or the ledger can
                no longer be written to.
        """

        def plan(store: Store) -> Planned:
            planned = store.plan(rows, replaces=replaces, whole=whole)
            if template is not None and not planned.changed:
                store.set_meta({TEMPLATE: template})
            return planned

        return await self._ask(plan, writes=True)

    async def abandon(self, key: int | str) -> Row:
        """Give up looking for the job of an AMBIGUOUS or DETACHED row; it gets no file.

        Raises:
            LedgerError: there is no such row, or it is in another state.
        """
        return await self._decide(key, lambda row: changes.abandoned(row.seq, "given up by hand"))

    async def resubmit(self, key: int | str) -> Row:
        """Plan a row again: the next run submits it, and pays for it AGAIN if its job exists.

        Raises:
            LedgerError: there is no such row, or its state does not allow it.
        """
        return await self._decide(key, lambda row: changes.replanned(row, "planned again by hand"))

    async def skip(self, keys: Iterable[int | str]) -> list[Row]:
        """Never send these rows, whatever a manifest holds, until `unskip`; all of them or none.

        Args:
            keys: of rows that were not sent yet: their ``seq`` (int) or ``id`` (str).

        Raises:
            LedgerError: there is no such row, or it was sent; nothing is changed.
        """
        return await self._decide_all(keys, changes.held)

    async def unskip(self, keys: Iterable[int | str]) -> list[Row]:
        """Plan skipped rows again, all of them or none: the next run submits and pays for them.

        Args:
            keys: as for `skip`.

        Raises:
            LedgerError: as `skip`.
        """
        return await self._decide_all(keys, changes.unheld)

    async def _decide_all(
        self, keys: Iterable[int | str], decision: Callable[[Row], Sequence[Change]]
    ) -> list[Row]:
        seqs = list(dict.fromkeys([(await self.row(key)).seq for key in keys]))
        await self.write_all([step for seq in seqs for step in decision(await self.row(seq))])
        return [await self.row(seq) for seq in seqs]

    async def _decide(self, key: int | str, decision: Callable[[Row], Change]) -> Row:
        return await self.write(decision(await self.row(key)))

    async def set_meta(self, values: Mapping[str, str]) -> None:
        """Store values of the whole batch; `Reader.meta` returns them."""
        await self._ask(lambda store: store.set_meta(values), writes=True)

    async def expect(self, seq: int, **file: Storable) -> None:
        """Store the values of a READY row's file before it is published.

        Args:
            seq: of the row.
            file: the `FILE_COLUMNS`.

        Raises:
            LedgerError: the ledger can no longer be written to, or the directory is not stable and
                has moved.
        """
        await self._ask(lambda store: store.expect(seq, file), writes=True)

    async def take_over(self, row: Row, track_id: str, found: Change) -> None:
        """Record that another copy of this ledger has submitted a planned row, and its job.

        So this one is out of date or a copy: it is in doubt from now on.

        Raises:
            LedgerError: as `write`.
        """
        sent = changes.sent_elsewhere(row, track_id)
        steps = (sent, changes.ambiguous(row.seq, changes.ELSEWHERE), found)

        def write(store: Store) -> None:
            store.doubt()
            for step in steps:
                store.apply(step)

        await self._ask(write, writes=True)
        self.in_doubt = True

    async def accept(self) -> None:
        """Make this copy of the ledger the one to work on.

        Raises:
            LedgerError: it can no longer be written to.
        """
        await self._ask(lambda store: store.accept(), writes=True)
        self.in_doubt = self.is_suspect = False

    async def check(self) -> None:
        """Check that the path still leads to this directory and its ledger.

        Raises:
            LedgerMoved: it does not.
        """
        await self._ask(lambda store: store.check_directory(), writes=False)

    async def read(self, question: Callable[[Reader], T]) -> T:
        """Call a function in the ledger's thread; it sees all earlier writes."""
        return await self._ask(question, writes=False)

    async def row(self, key: int | str) -> Row:
        """One row, by its ``seq`` (an int) or by its ``id`` (a str).

        Raises:
            LedgerError: there is no such row.
        """
        return await self.read(lambda reader: reader.row(key))

    async def counts(self) -> dict[RowState, int]:
        """How many rows are in each state."""
        return await self.read(lambda reader: reader.counts())

    @property
    def committed(self) -> Mapping[RowState, int]:
        """How many rows are in each state, as committed last. Only memory: from any thread."""
        return self._counts if self._writer is None else self._writer.counts

    async def page(
        self, states: Iterable[RowState] = RowState, *, after: int = 0, limit: int = 500
    ) -> list[Row]:
        """At most ``limit`` rows in these states with ``seq`` above ``after``, by ``seq``."""
        return await self.read(lambda reader: reader.page(states, after=after, limit=limit))

    async def each(
        self, states: Iterable[RowState] = RowState, *, size: int = 500
    ) -> AsyncIterator[Row]:
        """All rows in these states by ``seq``, ``size`` of them in memory at a time."""
        wanted, after = tuple(states), 0
        while page := await self.page(wanted, after=after, limit=size):
            for row in page:
                yield row
            after = page[-1].seq

    async def _ask(
        self, work: Callable[[Any], T], *, writes: bool, change: Change | None = None
    ) -> T:
        writer, loop = self._writer, self._loop
        if writer is None or loop is None:
            raise LedgerError("the ledger is not open; use it inside its `async with` block")
        if os.getpid() != self._pid:
            raise LedgerError("the ledger was opened before a fork; open it in the new process")
        if asyncio.get_running_loop() is not loop:
            raise LedgerError("the ledger belongs to another event loop")
        future: asyncio.Future[Answer] = loop.create_future()
        writer.put(Request(future, work, writes=writes, change=change))
        cancelled = await wait_shielded(future)
        answer = future.result()
        if cancelled is not None:
            raise cancelled from answer.error
        if answer.error is not None:
            raise answer.error
        value: T = answer.value
        return value
