"""Run many requests as one batch, inside an `async with` block: the library's side of it.

The block owns the ledger, the results file and one task that runs everything. Leaving the block,
however it is left, ends that task in an orderly way before the ledger is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, aclosing, suppress
from errno import EDQUOT, ENOSPC
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from attrs import field, frozen

from .._engine.aio import in_thread, wait_shielded
from .._engine.filesystem import probe, takes_all_scripts
from .._engine.session import Session
from .._policy.error_mapping import submit_unknown
from .._text import plural
from ..errors import ConfigurationError, LedgerError, LedgerMoved, LimitReached
from . import _transitions as changes
from ._account import check_account
from ._arrivals import Arrivals
from ._chosen import Chosen
from ._columns import checked, kept_template
from ._confirmed import Selection
from ._intake import CHUNK, RequestLike, chunks, plan_of
from ._journal import BatchOver
from ._ledger import Ledger
from ._limits import Limits, budget_so_far
from ._naming import DEFAULT_TEMPLATE, check_template, longest_name
from ._outcomes import Failed, Outcome
from ._preview import InNotebook
from ._reconcile import Reconciler
from ._results import RESULTS_NAME, check_results_name, result_of, write_results
from ._rows import PlannedRow, Row, checked_flags
from ._runner import UNFINISHED, Runner
from ._sqlite.reader import TEMPLATE, Reader
from ._sqlite.sounds import flagged
from ._states import RowState, settled
from ._verify import fault_of

_log = logging.getLogger("modelslab_async.batch")

_MAX_NAMED = 20
_RETRIABLE = (RowState.REJECTED, RowState.FAILED, RowState.AMBIGUOUS, RowState.OUTPUT_LOST)


@frozen(kw_only=True)
class BatchSettings:
    """How a batch is run.

    Attributes:
        template: how files are named, see `_naming.file_name`; ``None``: as the ledger says.
        restrict_filenames: name files in ASCII.
        limits: what may be paid for; what it leaves unset is read from the ledger.
        max_new_jobs: the most jobs that this run may submit; ``None``: no limit.
        only: the rows that this run may submit; ``None``: all.
        retry: states of rows that are submitted again as new jobs. For ``output_lost`` rows, only
            the file is downloaded again.
        retry_rows: ids of the rows to retry; ``None``: all in these states.
        retry_flagged: flags of done rows that get a new job because of their sound; `retry_rows`
            holds for them, too.
        retry_missing: download files of done rows again if they are missing or changed.
        same_account: the account is the one that paid, although the key or the origin differs.
        enterprise: rows planned from now on are sent to enterprise twins, if there are any and the
            rows do not say otherwise.
        confirmed: `Selection.fingerprint` of the rows that may be paid for; ``None``: all.
        accept_copy: pay for rows even if the directory was copied or restored.
    """

    template: str | None = None
    restrict_filenames: bool = False
    limits: Limits | None = None
    max_new_jobs: int | None = None
    only: Chosen | None = None
    retry: frozenset[RowState] = frozenset()
    retry_rows: frozenset[str] | None = None
    retry_flagged: frozenset[str] = field(default=frozenset(), converter=checked_flags)
    retry_missing: bool = False
    confirmed: str | None = None
    accept_copy: bool = False
    same_account: bool = False
    enterprise: bool = False


class Batch(InNotebook):
    """A batch in one directory. Enter it, and iterate over its outcomes.

    Args:
        session: of the open client.
        requests: each a request such as `MusicGen`, a mapping of fields, or a prompt; read as they
            are needed, so they may never end. ``None``: continue with the rows in the directory.
        directory: of the files, the ledger and the results.
        room: the most rows that have a slot or wait for one.
        settings: how the batch is run.

    Attributes:
        ledger: open inside the block.
        budget: what the batch has paid for and may pay for; available inside the block.

    Raises:
        ConfigurationError: the template or a state to retry cannot be used.
    """

    def __init__(
        self,
        session: Session,
        requests: Iterable[RequestLike] | AsyncIterable[RequestLike] | None,
        directory: Path,
        *,
        room: int,
        settings: BatchSettings,
    ) -> None:
        if settings.template is not None:
            check_template(settings.template)
        self._session = session
        self._requests = requests
        self._directory = directory
        self._room = room
        self._settings = settings
        for state in settings.retry:
            if state not in _RETRIABLE:
                raise ConfigurationError(
                    f"rows that are {state!s:.20} cannot be retried; retry accepts "
                    f"{', '.join(_RETRIABLE)}"
                )
        self._retry = frozenset(map(RowState, settings.retry))
        self._not_chosen = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the directory.

        Raises:
            LedgerError: it is in use, damaged, or cannot be written to.
            ConfigurationError: the cost is limited, and no price is known.
        """
        async with AsyncExitStack() as stack:
            self.ledger = await stack.enter_async_context(Ledger(self._directory))
            kept_names = await self.ledger.read(kept_template)
            self._template = self._settings.template or kept_names or DEFAULT_TEMPLATE
            await self.ledger.read(lambda _: self._check_directory())
            meta = await self.ledger.read(lambda reader: reader.meta())
            if self._template != meta.get(TEMPLATE, DEFAULT_TEMPLATE):
                await self.ledger.set_meta({TEMPLATE: self._template})
            kept = Limits.of_texts(meta)
            limits = (self._settings.limits or Limits()).over(kept)
            limits.check()
            if limits != kept:
                await self.ledger.set_meta(limits.as_texts())
            self.budget = await self.ledger.read(partial(budget_so_far, limits))
            self.budget.left = self._settings.max_new_jobs
            missing, under_way = await self.ledger.read(lambda reader: reader.missing())
            self._runner = Runner(
                self._session,
                self.ledger,
                template=self._template,
                ascii_only=self._ascii_only,
                room=self._room,
                budget=self.budget,
                arrivals=Arrivals(missing, under_way, self._room),
                report=self._report,
            )
            self._send, self._receive = anyio.create_memory_object_stream[Outcome](0)
            self._task = asyncio.create_task(self._run())
            stack.push_async_callback(self._end)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        closing = asyncio.ensure_future(self._stack.aclose())
        cancelled = await wait_shielded(closing)
        closing.result()
        if cancelled is not None and error is None:
            raise cancelled

    @property
    def counts(self) -> Mapping[RowState, int]:
        """How many rows of the directory are in each state, as committed last.

        Only memory: for progress displays, from any thread. Empty before the block.
        """
        return self.ledger.committed if hasattr(self, "ledger") else {}

    def __aiter__(self) -> AsyncIterator[Outcome]:
        if not hasattr(self, "_receive"):
            raise ConfigurationError(
                "the batch is not open: write `async with client.batch(...) as outcomes:`, and "
                "inside it `async for outcome in outcomes:`"
            )
        return self

    async def __anext__(self) -> Outcome:
        """The next outcome.

        Raises:
            ModelsLabError: after the last outcome, if the run stopped early: the reason.
        """
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            await asyncio.shield(self._task)
            stopped, self._runner.stopped = self._runner.stopped, None
            if not isinstance(stopped, BatchOver | None):
                raise stopped from None
            raise StopAsyncIteration from None

    def stop(self) -> None:
        """Submit nothing more: what is paid for is finished, and iteration ends as usual."""
        self._runner.stop(BatchOver("stopped by the caller"))

    def _check_directory(self) -> None:
        """Blocking: check, before anything is paid for, that files can be created and named."""
        place = self.ledger.place
        try:
            probe(place.through, "-" * longest_name(self._template))
            self._ascii_only = self._settings.restrict_filenames or not takes_all_scripts(
                place.through
            )
            check_results_name(place.through)
        except OSError as error:
            raise LedgerError(
                f"{place.path} cannot hold the files of a batch: {error.strerror}; nothing was "
                "sent. Choose another directory for a new batch; move an existing one as a whole, "
                "with its ledger"
            ) from error

    async def _run(self) -> None:
        reconciler = Reconciler(self._session, self.ledger)
        async with self._send:
            if self._settings.retry_missing:
                await self._redownload()
            if await self._has_open_jobs():
                await self._check_account()
            await reconciler.run()
            doubted = self.ledger.in_doubt
            await self._settle_doubt(reconciler)
            if not self.ledger.in_doubt:
                await self._replan(reconciler)
            # What was found of a copy's jobs leaves fewer rows to pay for than were confirmed.
            if not doubted or not (self.ledger.in_doubt or reconciler.adopted):
                await self._check_confirmed()
            before = len(reconciler.adopted)
            async with aclosing(self._planned(reconciler)) as planned:
                await self._runner.run(planned)
            if not isinstance(self._runner.stopped, LedgerError):
                await reconciler.trust()
                # Find the jobs whose answers this run has lost, and download their files.
                is_complete = self._runner.stopped is None
                await (reconciler.run_out() if is_complete else reconciler.run())
                if found := reconciler.adopted[before:]:
                    await self._runner.finish(await self.ledger.row(number) for number in found)
            await self._report_rest()
        await self._write_results()

    async def _write_results(self) -> None:
        try:
            await self.ledger.check()
        except LedgerMoved as error:
            self._runner.stop(error)
            # A deleted ledger ends with this process, and no other place knows the jobs.
            async for row in self.ledger.each(UNFINISHED):
                _log.warning(
                    "row %s: job %s is paid for and not on disk", row.id, row.job_id or row.handle
                )
            if not self.ledger.place.is_stable:
                return
        try:
            through = self.ledger.place.through
            await self.ledger.read(
                lambda reader: write_results(through, map(result_of, reader.each()))
            )
        except OSError as error:
            cure = "free some space" if error.errno in (ENOSPC, EDQUOT) else "correct that"
            self._runner.stop(
                LedgerError(
                    f"{RESULTS_NAME} cannot be written ({error.strerror}); nothing is lost, the "
                    f"ledger has it all: {cure}, then run the batch again"
                )
            )

    async def _report_rest(self) -> None:
        """Report the rows that ``only`` left out, and those whose outcome is unknown."""
        if self._not_chosen:
            rows = plural(self._not_chosen, "row was", "rows were")
            self._runner.stop(
                LimitReached(f"{rows} not chosen for this run; run the batch again to go on")
            )
        async for row in self.ledger.each((RowState.AMBIGUOUS,)):
            error = submit_unknown(row.error or "", row.track_id or "", None)
            await self._report(Failed(id=row.id, row=row.seq, error=error))

    async def _settle_doubt(self, reconciler: Reconciler) -> None:
        copied = await reconciler.settle_doubt(accept=self._settings.accept_copy)
        if copied is not None:
            self._runner.stop(copied)

    async def _replan(self, reconciler: Reconciler) -> None:
        """Plan the rows to retry again, except those whose jobs are found first."""
        if RowState.AMBIGUOUS in self._retry:
            await reconciler.run_out()
        flags = self._settings.retry_flagged
        for seq in await self.ledger.read(lambda reader: flagged(reader.db, flags)):
            row = await self.ledger.row(seq)
            if self._retries(row):
                note = f"made again because of its flags, {' '.join(row.flags or ())}"
                await self.ledger.write(changes.retaken(row, note))
        async for row in self.ledger.each(self._retry):
            if not self._retries(row):
                continue
            if row.state is RowState.OUTPUT_LOST:  # the job exists: only its file is missing
                await self.ledger.write(changes.ready(row.seq, row.handle or ""))
            else:
                await self.ledger.write(changes.replanned(row, "retried on request"))

    def _retries(self, row: Row) -> bool:
        among = self._settings.retry_rows
        return (among is None or row.id in among) and self._chooses(row)

    async def _redownload(self) -> None:
        """Read the files of all done rows; plan to download those that are missing or changed."""
        last = 0
        while page := await self.ledger.read(partial(Reader.files, after=last)):
            steps = []
            for file in page:
                look = partial(fault_of, self.ledger.place.through, file, content=True)
                fault = await in_thread(look)
                if fault is None:
                    continue
                if fault.kind.is_lost:
                    note = f"{fault.path} {fault.reason}"
                    steps.append(changes.redownload(fault.row, note))
                else:  # it cannot be read, and may be intact
                    _log.error("row %s: %s %s; left unchanged", fault.id, fault.path, fault.reason)
            if steps:
                await self._check_account()
                await self.ledger.write_all(steps)
            last = page[-1].row

    async def _has_open_jobs(self) -> bool:
        """Whether this run polls or looks for jobs that another run has submitted."""
        if self.ledger.in_doubt or self.ledger.is_suspect:
            return True
        counts = await self.ledger.counts()
        of_jobs = {*RowState, *self._retry} - {RowState.PLANNED}
        return any(counts[state] for state in of_jobs if not settled(state) or state in self._retry)

    async def _check_account(self) -> None:
        await check_account(self.ledger, self._session, same=self._settings.same_account)

    async def _check_confirmed(self) -> None:
        """Check, with the directory locked, that exactly the confirmed rows would be paid for."""
        confirmed = self._settings.confirmed
        if confirmed is None:
            return
        planned = await self.ledger.read(lambda reader: Selection.of(reader.planned()))
        if planned.fingerprint != confirmed:
            raise LedgerError(
                "the rows to pay for have changed since they were confirmed: another process has "
                "changed the plan in the directory; nothing was sent: look at the plan, then run "
                "again"
            )

    async def _planned(self, reconciler: Reconciler) -> AsyncGenerator[Row, None]:
        """Rows to submit, in order: those in the ledger, and those that the requests add."""
        last, is_checked = 0, False
        async with aclosing(self._additions()) as additions:
            async for _ in additions:
                if self.ledger.is_suspect and self._runner.stopped is None:
                    await reconciler.run()  # for rows that the old state did not have
                    await self._settle_doubt(reconciler)
                while page := await self.ledger.page((RowState.PLANNED,), after=last, limit=CHUNK):
                    last = page[-1].seq
                    for row in page:
                        if not self._chooses(row):
                            self._not_chosen += 1
                            continue
                        if not is_checked:
                            await self._check_account()
                            is_checked = True
                        yield row

    async def _additions(self) -> AsyncGenerator[None, None]:
        """Plan the requests, and yield whenever there may be rows to submit.

        A finite sequence is planned completely or not at all.
        """
        if isinstance(self._requests, Sequence):
            rows = plan_of(self._requests, enterprise=self._settings.enterprise)
            await self._plan(rows, replaces=True)
        elif self._requests is not None:
            async with aclosing(chunks(self._requests)) as found:
                async for chunk in found:
                    # A row to be replaced may be in flight already.
                    rows = (row.planned(enterprise=self._settings.enterprise) for row in chunk)
                    await self._plan(rows, replaces=False)
                    yield
        yield

    def _chooses(self, row: Row) -> bool:
        only = self._settings.only
        return only is None or only.holds(row.seq, row.id)

    async def _plan(self, rows: Iterable[PlannedRow], *, replaces: bool) -> None:
        planned = await self.ledger.plan(checked(rows, self._template), replaces=replaces)
        if planned.changed:
            named = ", ".join(planned.changed[:_MAX_NAMED])
            raise LedgerError(
                f"{plural(len(planned.changed), 'row')} not as planned before: {named}; nothing "
                "was sent: give changed rows new ids"
            )

    async def _report(self, outcome: Outcome) -> None:
        with suppress(anyio.BrokenResourceError):
            await self._send.send(outcome)

    async def _end(self) -> None:
        self._receive.close()
        self._task.cancel()
        await wait_shielded(self._task)
        self._send.close()  # by us if the task was cancelled before its first step
        if not self._task.cancelled():
            self._task.exception()  # mark it as retrieved; `__anext__` has raised it
