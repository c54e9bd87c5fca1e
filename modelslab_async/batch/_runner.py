"""Take the rows of a batch from planned to done, and record each step before the next.

The account's queue is kept full: the next submit is sent when a generation has finished, without
waiting for its download. However a run ends, what it has paid for is in the ledger.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import TaskGroup
from attrs import evolve

from .._engine.aio import in_thread
from .._engine.job import Generation, Job
from .._engine.saved import SavedFile
from .._engine.session import Session
from .._engine.targets import Target
from .._policy.error_mapping import submit_outage
from .._policy.poll import Finish
from .._policy.queue import backoff
from .._protocol.replies import Finished, RemoteFile
from ..errors import (
    AuthenticationError,
    ConfigurationError,
    InsufficientCredits,
    JobFailed,
    LedgerError,
    LedgerMoved,
    LimitReached,
    ModelsLabError,
    NotFound,
    OutputLost,
    PermissionDenied,
    RateLimited,
    SubmitUnknown,
    TransportError,
)
from . import _transitions as changes
from ._arrivals import Arrivals
from ._columns import stem_of
from ._journal import BatchOver, Journal, OnHold, SetAside
from ._ledger import Ledger
from ._limits import Budget
from ._naming import names_job
from ._outcomes import Failed, Outcome, Succeeded
from ._published import about, free_stem, no_name, published_before, standing
from ._records import check_media, request_of
from ._rows import Row
from ._sqlite.identity import track_id_of
from ._states import RowState
from ._turns import PATIENCE, Turns

AHEAD = 4
"""Rows that wait for a slot besides those that have one, so that no slot stays free."""

_BACKLOG = 1000
"""The most finished generations that wait for their download."""

_LARGE = 64 * 1024
"""Bytes of a request from which it is decoded in a thread."""

_OUTAGE = 3
"""Consecutive submits with unknown outcome, after which only one row at a time is submitted."""

_MOST_TRIES = 10
"""Rows that are submitted one at a time, each after a longer wait, before the run stops."""

UNFINISHED = (RowState.READY, RowState.SUBMITTED, RowState.DETACHED)
"""States of rows that are paid for, and whose files are not on disk."""


# Errors that concern the account, the network or this machine, and so every row.
_STOPPING = (
    BatchOver,
    AuthenticationError,
    ConfigurationError,
    InsufficientCredits,
    LedgerError,
    PermissionDenied,
    RateLimited,
    TransportError,
)

_log = logging.getLogger("modelslab_async.batch")


class Runner:
    """Works through the rows of one ledger, once.

    Args:
        session: the open client.
        ledger: open.
        template: how files are named, see `_naming.file_name`.
        ascii_only: name files in ASCII.
        room: the most rows that have a slot or wait for one.
        budget: what was paid for, and what may be.
        arrivals: whether files arrive.
        report: called with each outcome; the run waits for it.

    Attributes:
        stopped: why rows are left for another run; ``None`` if none are.
    """

    def __init__(
        self,
        session: Session,
        ledger: Ledger,
        *,
        template: str,
        ascii_only: bool,
        room: int,
        budget: Budget,
        arrivals: Arrivals,
        report: Callable[[Outcome], Awaitable[None]],
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._template = template
        self._names_jobs = names_job(template)
        self._ascii_only = ascii_only
        self._budget = budget
        self._report = report
        self._room = anyio.Semaphore(room)
        self._backlog = anyio.Semaphore(_BACKLOG)
        self._intake = anyio.CancelScope()
        self._unknown = 0
        self._alone = anyio.Lock()
        self._tries = 0
        self._arrivals = arrivals
        self._turns = Turns()
        self.stopped: Exception | None = None

    async def run(self, planned: AsyncIterator[Row]) -> None:
        """Finish the rows that are paid for, and submit the planned ones."""
        async with anyio.create_task_group() as group:
            async for row in self._ledger.each(UNFINISHED):
                await self._start(group, row)
            with self._intake:
                await self._submit_planned(group, planned)

    async def finish(self, rows: AsyncIterable[Row]) -> None:
        """Finish these rows, which are paid for already."""
        async with anyio.create_task_group() as group:
            async for row in rows:
                await self._start(group, row)

    def stop(self, reason: Exception) -> None:
        """Submit no more rows, and finish those that are paid for. The first reason counts.

        Rows that a limit has already counted are still submitted.
        """
        if not self._is_over():
            self.stopped = reason
        self._intake.cancel()
        if self._is_over():
            self._arrivals.end()

    def _is_over(self) -> bool:
        return self.stopped is not None and not isinstance(self.stopped, LimitReached)

    async def _submit_planned(self, group: TaskGroup, planned: AsyncIterator[Row]) -> None:
        while True:
            try:
                row = await anext(planned, None)
            except Exception as error:  # noqa: BLE001 - of the caller's iterable; raised at the end
                self.stop(error)
                return
            if row is None:
                return
            # Checked here, in the order of rows, not where each is submitted.
            try:
                # An earlier run may have had another setting for ASCII.
                stems = {
                    stem_of(row, self._template, ascii_only=ascii_only)
                    for ascii_only in (False, True)
                }
            except ConfigurationError as error:  # the row lacks a column of the template
                self.stop(error)
                return
            taken = None
            # A file of this row, or of another job, has a new name in any case.
            if not self._names_jobs and row.done_at is None:
                taken = await in_thread(partial(standing, self._ledger.directory, stems, row))
            if taken is None:  # else it is not submitted, and counts towards no limit
                cost = self._cost(row)
                refusal = self._budget.refusal(cost)
                if refusal is not None:
                    self.stop(refusal)
                    return
                self._budget.charge(cost or Decimal(0))
            self._turns.came(row.seq)
            await self._start(group, row, taken)

    async def _start(self, group: TaskGroup, row: Row, taken: Path | None = None) -> None:
        await self._backlog.acquire()
        await self._room.acquire()
        group.start_soon(self._work, row, taken)

    async def _work(self, row: Row, taken: Path | None) -> None:
        outcome: Outcome | None
        try:
            if taken is not None:
                self._room.release()
                outcome = Failed(id=row.id, row=row.seq, error=no_name(row, taken))
            else:
                try:
                    outcome = await self._finish_row(row)
                except ModelsLabError as error:
                    outcome = await self._failed(row, error)
            if outcome is not None:
                await self._report(outcome)
        finally:
            self._turns.ended(row.seq)
            self._backlog.release()

    async def _failed(self, row: Row, error: ModelsLabError) -> Failed | None:
        """The outcome of a row that ended with an error; ``None`` if it is not final."""
        if _stops(error):
            lost = isinstance(error.__cause__, OSError) and await self._lost_directory()
            self.stop(lost or error)
        if isinstance(error, SubmitUnknown):
            self._count_unknown(row, error)
        state = (await self._ledger.row(row.seq)).state
        if state not in (RowState.PLANNED, RowState.REJECTED, RowState.AMBIGUOUS):
            self._arrivals.gave_up(row.seq, error)
        if state is RowState.REJECTED:  # a refusal proves that the service is up
            self._unknown = self._tries = 0
        if state in (RowState.PLANNED, RowState.REJECTED):
            self._budget.refund(self._cost(row) or Decimal(0))
        if state is RowState.AMBIGUOUS or (_stops(error) and state is not RowState.DETACHED):
            return None
        if isinstance(error, SetAside):  # it stops no run, unlike other rate limits
            error = RateLimited(str(error))
        return Failed(id=row.id, row=row.seq, error=error)

    async def _finish_row(self, row: Row) -> Succeeded:
        """Save a row's files. While no files arrive, rows are submitted one at a time, slowly."""
        while row.state is RowState.PLANNED:
            if not self._arrivals.are_late:
                try:
                    return await self._save(row, *await self._generate(row))
                except OnHold:
                    pass
                except SetAside:
                    if self._turns.is_hopeless(row.seq):
                        raise
                    await self._turns.others()
                    await self._room.acquire()
                row = await self._ledger.row(row.seq)  # its attempts have been counted
                continue
            async with self._arrivals.alone:
                reason = await self._arrivals.probe()
                if reason is not None:
                    self.stop(reason)
                elif self._arrivals.are_late:
                    return await self._save(row, *await self._generate(row, alone=True))
        return await self._save(row, *await self._generate(row))

    async def _lost_directory(self) -> LedgerMoved | None:
        """The reason why no file can be written, if it is that the directory is gone."""
        try:
            await self._ledger.check()
        except LedgerMoved as moved:
            return moved
        return None

    def _count_unknown(self, row: Row, error: SubmitUnknown) -> None:
        _log.warning(
            "row %s: a job with track_id %s may exist; reconciling at the end of the run",
            row.id,
            error.track_id,
            extra={"track_id": error.track_id},
        )
        self._unknown += 1
        if self._tries >= _MOST_TRIES:
            self.stop(submit_outage(self._unknown, error))

    async def _generate(
        self, row: Row, *, alone: bool = False
    ) -> tuple[Generation, SavedFile | None]:
        """The generation of a row, and its file if an earlier run has saved it."""
        held = False
        try:
            if row.state is RowState.PLANNED:
                return await self._await_job(*await self._submit_slowly(row, alone)), None
            ledger = self._ledger
            look = partial(published_before, row, ledger.directory, ledger.place)
            there = await in_thread(look)
            return await self._resume(row, there), there
        except OnHold:
            held = True  # it keeps its place among the open rows, to continue at once
            raise
        finally:
            if not held:
                self._room.release()

    async def _submit_slowly(self, row: Row, alone: bool) -> tuple[Row, Job]:
        """Submit a row; while outcomes are unknown, one at a time and ever more slowly."""
        if self._unknown < _OUTAGE:
            accepted = await self._submit(row, alone)
        else:
            async with self._alone:
                if self._unknown >= _OUTAGE and not self._is_over():
                    await anyio.sleep(backoff(self._tries, random.random()))
                    self._tries += 1
                accepted = await self._submit(row, alone)
        self._unknown = self._tries = 0
        self._turns.accepted(row.seq)
        return accepted

    async def _submit(self, row: Row, alone: bool) -> tuple[Row, Job]:
        large = len(row.request) > _LARGE
        request = await in_thread(partial(request_of, row)) if large else request_of(row)
        if any(isinstance(clip, Path) for clip in request.local_media().values()):
            await in_thread(partial(check_media, request, row.payload_hash))
        track_id = request.track_id
        if track_id is None:
            made = track_id_of(self._ledger.name, row.id, row.payload_hash)
            track_id = int(row.track_id or made)
        cost = self._budget.limits.price_of(request)
        journal = Journal(self._ledger, row, cost, partial(self._check_send, row, alone))
        submission = await self._session.prepare(request, track_id)
        try:
            job = await self._session.submitter.submit(submission, journal)
        except ModelsLabError:
            self._arrivals.unpaid(row.seq)
            raise
        return journal.row, job

    def _check_send(self, row: Row, alone: bool, attempt: int) -> ModelsLabError | None:
        """Why a row that has a slot is not submitted after all."""
        if self._is_over():
            return BatchOver(f"row {row.id} was not sent: the batch has stopped")
        if not self._arrivals.pay(row.seq, alone=alone):
            return OnHold(f"row {row.id} was not sent: no file arrives")
        if attempt > PATIENCE and not alone:
            count = self._turns.refused(row.seq)
            return SetAside(
                f"row {row.id} was rate limited {count} times while other rows were accepted; "
                "it has cost nothing, and stays planned for another run"
            )
        return None

    def _cost(self, row: Row) -> Decimal | None:
        limits = self._budget.limits
        return limits.price_of(request_of(row)) if limits.priced else None

    async def _resume(self, row: Row, there: SavedFile | None) -> Generation:
        """Continue a job of an earlier run, by its links if they are known, else by its id."""
        job = self._session.job(row.handle or "")
        request = request_of(row)
        job.sent, job.asked = (row.prompt,), request.asked_seconds()
        job.prompt, job.model = row.prompt, request.NAME
        if there or (row.state is RowState.READY and job.links.output):
            job.end(Finish(Finished(links=job.links)))
            return await job.result()
        if row.state is not RowState.SUBMITTED:
            row = await self._ledger.write(changes.reattached(row.seq, "polled again"))
        return await self._await_job(row, job)

    async def _await_job(self, row: Row, job: Job) -> Generation:
        try:
            generation = await job.result()
        except JobFailed as error:
            kind = type(error).__name__
            await self._ledger.write(
                changes.failed(row.seq, kind, str(error), polls=job.snapshot.polls)
            )
            raise
        except OutputLost as error:
            await self._ledger.write(
                changes.ready(row.seq, job.to_json(), polls=job.snapshot.polls)
            )
            await self._lost(row, error)
            raise
        except ModelsLabError as error:
            await self._ledger.write(
                changes.detached(row.seq, str(error), polls=job.snapshot.polls)
            )
            raise
        if row.state is RowState.SUBMITTED:
            await self._ledger.write(
                changes.ready(
                    row.seq,
                    job.to_json(),
                    generation_time=generation.generation_time,
                    polls=generation.polls,
                )
            )
        return generation

    async def _save(self, row: Row, generation: Generation, there: SavedFile | None) -> Succeeded:
        try:
            saved = (there,) if there else await self._download(row, generation)
        except OutputLost as error:
            await self._lost(row, error)
            raise
        self._arrivals.arrived()
        row = await self._ledger.write(changes.done(row.seq, **about(saved[0])))
        saved = (evolve(saved[0], flags=row.flags), *saved[1:])  # with the row of the same sound
        return Succeeded(
            id=row.id, row=row.seq, job_id=generation.id, saved=saved, generation=generation
        )

    async def _download(self, row: Row, generation: Generation) -> tuple[SavedFile, ...]:
        """Download the files; the hash of the first is in the ledger before it is published."""
        stem = first = stem_of(row, self._template, generation.id, ascii_only=self._ascii_only)
        if row.done_at is not None:  # it had a file: whatever has that name now is not overwritten
            old = Path(row.path or stem).stem
            through = self._ledger.place.through
            first = await in_thread(partial(free_stem, through, old, stem, row))

        async def expect(saved: SavedFile) -> None:
            await self._ledger.expect(row.seq, **about(saved))

        def target(file: RemoteFile) -> Target:
            ledger, name = self._ledger, f"{stem}-{file.index + 1}" if file.index else first
            return Target(ledger.directory, name, exact=True, through=ledger.place.through)

        return tuple(
            [
                await self._session.download(
                    file,
                    target(file),
                    progress=lambda _received, _total: self._arrivals.moves(row.seq),
                    on_stall=partial(self._arrivals.in_trouble, row.seq),
                    before_publish=None if file.index else expect,
                )
                for file in generation.files
            ]
        )

    async def _lost(self, row: Row, error: OutputLost) -> None:
        await self._ledger.write(changes.output_lost(row.seq, type(error).__name__, str(error)))


def _stops(error: ModelsLabError) -> bool:
    """Whether other rows would fail in the same way; an OSError means a disk that is full."""
    if isinstance(error, NotFound) and error.job is None:  # the URL that all rows are sent to
        return True
    return isinstance(error, _STOPPING) or isinstance(error.__cause__, OSError)
