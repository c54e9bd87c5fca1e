"""Run many requests as one batch, inside an `async with` block: the library's side of it.

The block owns the ledger, the results file and one task that runs everything. Leaving the block,
however it is left, ends that task in an orderly way before the ledger is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from decimal import Decimal
from errno import EDQUOT, ENOSPC
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from attrs import frozen

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
from ._confirmed import Selection
from ._intake import CHUNK, RequestLike, chunks, plan_of, to_plan
from ._ledger import Ledger
from ._limits import Budget, Limits
from ._naming import DEFAULT_TEMPLATE, check_template, longest_name
from ._outcomes import Failed, Outcome
from ._reconcile import Reconciler
from ._records import read_record
from ._results import RESULTS_NAME, check_results_name, result_of, write_results
from ._rows import PlannedRow, Row, StoredFile
from ._runner import UNFINISHED, Runner
from ._sqlite.reader import Reader
from ._states import RowState, settled
from ._verify import FileFault, fault_of

_log = logging.getLogger("modelslab_async.batch")

_MAX_NAMED = 20
_RETRIABLE = (RowState.REJECTED, RowState.FAILED, RowState.AMBIGUOUS, RowState.OUTPUT_LOST)


@frozen(kw_only=True)
class BatchSettings:
    """How a batch is run.

    Attributes:
        template: how files are named, see `_naming.file_name`.
        restrict_filenames: letters of other scripts than ASCII's are left out of names.
        limits: what may be paid for; what it leaves open is as the ledger says.
        max_new_jobs: what this run may pay for; ``None``: as much as the limits let it.
        only: the rows that this run may submit; ``None``: all.
        retry: states of rows that are planned anew before the run, each as a new job; but of an
            ``output_lost`` one the file alone is looked for again.
        retry_rows: ids of the rows that ``retry`` is about; ``None``: all.
        retry_missing: files of done rows that are missing or changed are downloaded again.
        same_account: the account is the one that paid, though key or origin are others.
        enterprise: rows that are planned from now on go to enterprise twins, where there are any
            and the rows say nothing else.
        confirmed: `Selection.fingerprint` of the rows that may be paid for; ``None``: all.
        accept_copy: rows are paid for also when the directory was copied or restored.
    """

    template: str = DEFAULT_TEMPLATE
    restrict_filenames: bool = False
    limits: Limits | None = None
    max_new_jobs: int | None = None
    only: Chosen | None = None
    retry: frozenset[RowState] = frozenset()
    retry_rows: frozenset[str] | None = None
    retry_missing: bool = False
    confirmed: str | None = None
    accept_copy: bool = False
    same_account: bool = False
    enterprise: bool = False


class Batch:
    """A batch in one directory. Enter it, and iterate over its outcomes as they come.

    Args:
        session: of the open client.
        requests: what to make, each a request such as `MusicGen`, a mapping of fields, or a
            prompt; read as far as they are needed, so they may go on for ever. ``None``: go on
            with what the directory holds.
        directory: where the files, the ledger and the results go.
        room: rows that may have a place in the account's queue, or wait for one.
        settings: how it is run.

    Attributes:
        ledger: open inside the block.
        budget: what the batch has paid for and may pay for; known inside the block.

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
        check_template(settings.template)
        self._session = session
        self._requests = requests
        self._directory = directory
        self._room = room
        self._settings = settings
        self._retry = frozenset(map(_retriable, settings.retry))
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
            await self.ledger.read(lambda _: self._check_directory())
            self.budget = await self._budget()
            missing, under_way = await self.ledger.read(lambda reader: reader.missing())
            self._runner = self._made(self.budget, Arrivals(missing, under_way, self._room))
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
            ModelsLabError: after the last outcome, when the run stopped before its end: why.
        """
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            await asyncio.shield(self._task)
            stopped, self._runner.stopped = self._runner.stopped, None
            if stopped is not None:
                raise stopped from None
            raise StopAsyncIteration from None

    def _check_directory(self) -> None:
        """Blocking: see, before anything is paid for, that the files can be made and named."""
        place = self.ledger.place
        try:
            probe(place.through, "-" * longest_name(self._settings.template))
            self._ascii_only = self._settings.restrict_filenames or not takes_all_scripts(
                place.through
            )
            check_results_name(place.through)
        except OSError as error:
            raise LedgerError(
                f"{place.path} cannot hold the files of a batch: {error.strerror}; nothing was "
                "sent. A new batch can have another directory; a batch that is here already has "
                "to be moved whole, with its ledger"
            ) from error

    async def _budget(self) -> Budget:
        kept = Limits.of_texts(await self.ledger.read(lambda reader: reader.meta()))
        limits = (self._settings.limits or Limits()).over(kept)
        limits.check()
        if limits != kept:
            await self.ledger.set_meta(limits.as_texts())
        budget = await self.ledger.read(partial(_budget_so_far, limits))
        budget.left = self._settings.max_new_jobs
        return budget

    def _made(self, budget: Budget, arrivals: Arrivals) -> Runner:
        return Runner(
            self._session,
            self.ledger,
            template=self._settings.template,
            ascii_only=self._ascii_only,
            room=self._room,
            budget=budget,
            arrivals=arrivals,
            report=self._report,
        )

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
            if not doubted or not (self.ledger.in_doubt or reconciler.adopted):
                await self._check_confirmed()  # else there are fewer rows than were agreed to
            before = len(reconciler.adopted)
            async with aclosing(self._planned(reconciler)) as planned:
                await self._runner.run(planned)
            if not isinstance(self._runner.stopped, LedgerError):
                await reconciler.trust()
                await self._resolve(reconciler, before)
            await self._report_rest()
        try:
            await self.ledger.check()
        except LedgerMoved as error:
            self._runner.stop(error)
            await self._name_jobs()
            if not self.ledger.place.is_stable:
                return
        try:
            through = self.ledger.place.through
            await self.ledger.read(
                lambda reader: write_results(through, map(result_of, reader.each()))
            )
        except OSError as error:
            cure = "make room" if error.errno in (ENOSPC, EDQUOT) else "see to that"
            self._runner.stop(
                LedgerError(
                    f"{RESULTS_NAME} cannot be written ({error.strerror}); nothing is lost, the "
                    f"ledger has it all: {cure}, then run the batch again"
                )
            )

    async def _report_rest(self) -> None:
        """Report the rows that this run was not to send, and those whose jobs it did not find."""
        if self._not_chosen:
            rows = plural(self._not_chosen, "row was", "rows were")
            self._runner.stop(
                LimitReached(f"{rows} not chosen for this run; run the batch again to go on")
            )
        async for row in self.ledger.each((RowState.AMBIGUOUS,)):
            error = submit_unknown(row.error or "", row.track_id or "", None)
            await self._report(Failed(id=row.id, row=row.seq, error=error))

    async def _name_jobs(self) -> None:
        """A ledger that was removed ends with this process, and its jobs are known nowhere else."""
        async for row in self.ledger.each(UNFINISHED):
            _log.warning(
                "row %s: job %s is paid for and not on disk", row.id, row.job_id or row.handle
            )

    async def _settle_doubt(self, reconciler: Reconciler) -> None:
        copied = await reconciler.settle_doubt(accept=self._settings.accept_copy)
        if copied is not None:
            self._runner.stop(copied)

    async def _replan(self, reconciler: Reconciler) -> None:
        """Plan anew what the caller wants made anew, but for rows whose jobs are found first."""
        if RowState.AMBIGUOUS in self._retry:
            await reconciler.run_out()
        among = self._settings.retry_rows
        async for row in self.ledger.each(self._retry):
            if (among is not None and row.id not in among) or not self._chooses(row):
                continue
            if row.state is RowState.OUTPUT_LOST:  # the job is there: its file alone is missing
                await self.ledger.write(changes.ready(row.seq, row.handle or ""))
            else:
                await self.ledger.write(changes.replanned(row, "asked for anew"))

    async def _redownload(self) -> None:
        """Read all files of done rows; those that are missing or changed are to be downloaded."""
        last = 0
        while page := await self.ledger.read(partial(Reader.files, after=last)):
            lost = [fault for file in page if (fault := await self._lost_file(file))]
            steps = [changes.redownload(one.row, f"{one.path} {one.reason}") for one in lost]
            if steps:
                await self._check_account()
                await self.ledger.write_all(steps)
            last = page[-1].row

    async def _lost_file(self, file: StoredFile) -> FileFault | None:
        """The fault of a file that is missing or changed; what cannot be read may be neither."""
        look = partial(fault_of, self.ledger.place.through, file, content=True)
        fault = await in_thread(look)
        if fault is not None and not fault.kind.is_lost:
            _log.error("row %s: %s %s; it was left as it is", fault.id, fault.path, fault.reason)
            return None
        return fault

    async def _has_open_jobs(self) -> bool:
        """Whether this run asks the API about jobs of earlier ones, or of an original."""
        if self.ledger.in_doubt or self.ledger.is_suspect:
            return True
        counts = await self.ledger.counts()
        of_jobs = {*RowState, *self._retry} - {RowState.PLANNED}
        return any(counts[state] for state in of_jobs if not settled(state) or state in self._retry)

    async def _check_account(self) -> None:
        await check_account(self.ledger, self._session, same=self._settings.same_account)

    async def _check_confirmed(self) -> None:
        """See, with the directory locked, that no other rows would be paid for than was agreed."""
        confirmed = self._settings.confirmed
        if confirmed is None:
            return
        if await self.ledger.read(_planned_now) != confirmed:
            raise LedgerError(
                "the rows that would be paid for are not those that were agreed to: another "
                "process has changed what is planned in the directory; nothing was sent, so look "
                "at the plan and run again"
            )

    async def _resolve(self, reconciler: Reconciler, before: int) -> None:
        """Find the jobs of this run's lost answers, and bring what they made."""
        await (reconciler.run_out() if self._runner.stopped is None else reconciler.run())
        found = reconciler.adopted[before:]
        if found:
            await self._runner.finish(self._rows(found))

    async def _rows(self, numbers: list[int]) -> AsyncIterator[Row]:
        for number in numbers:
            yield await self.ledger.row(number)

    async def _planned(self, reconciler: Reconciler) -> AsyncGenerator[Row, None]:
        """Rows to submit, in order: what the ledger holds, and what the requests add to it."""
        last = 0
        async with aclosing(self._additions()) as additions:
            async for _ in additions:
                if self.ledger.is_suspect and self._runner.stopped is None:
                    await reconciler.run()  # for rows that the old state did not have
                    await self._settle_doubt(reconciler)
                async for row in self._page_after(last):
                    if not last:
                        await self._check_account()
                    last = row.seq
                    yield row

    async def _additions(self) -> AsyncGenerator[None, None]:
        """Plan what the requests ask for, and yield when there may be something to submit.

        Requests that are all at hand are planned all together, or not at all.
        """
        if isinstance(self._requests, Sequence):
            rows = plan_of(self._requests, enterprise=self._settings.enterprise)
            await self._plan(rows, replaces=True)
        elif self._requests is not None:
            async with aclosing(chunks(self._requests)) as found:
                async for chunk in found:
                    # What is replaced might be on its way already.
                    rows = (to_plan(row, enterprise=self._settings.enterprise) for row in chunk)
                    await self._plan(rows, replaces=False)
                    yield
        yield

    async def _page_after(self, last: int) -> AsyncIterator[Row]:
        while page := await self.ledger.page((RowState.PLANNED,), after=last, limit=CHUNK):
            for row in page:
                last = row.seq
                if self._chooses(row):
                    yield row
                else:
                    self._not_chosen += 1

    def _chooses(self, row: Row) -> bool:
        only = self._settings.only
        return only is None or only.holds(row.seq, row.id)

    async def _plan(self, rows: Iterable[PlannedRow], *, replaces: bool) -> None:
        planned = await self.ledger.plan(rows, replaces=replaces)
        if planned.changed:
            named = ", ".join(planned.changed[:_MAX_NAMED])
            raise LedgerError(
                f"{len(planned.changed)} rows are not what they were when they were planned: "
                f"{named}; nothing was sent: give them new ids"
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
            self._task.exception()  # whoever took the outcomes has had it raised


def _retriable(state: str) -> RowState:
    if state not in _RETRIABLE:
        raise ConfigurationError(
            f"rows that are {state!s:.20} are not tried again; retry takes {', '.join(_RETRIABLE)}"
        )
    return RowState(state)


def _budget_so_far(limits: Limits, reader: Reader) -> Budget:
    """What all runs have paid: each job at its price then, or if none was known, at that of now."""
    budget = Budget(limits)
    if limits == Limits():  # nobody asks for it
        return budget
    for cost, request, jobs in reader.paid():
        if cost is None:
            price = limits.price_of(read_record(request)[0]) if limits.priced else None
        else:
            price = Decimal(cost)
        budget.charge(price or Decimal(0), jobs)
    return budget


def _planned_now(reader: Reader) -> str:
    selection = Selection()
    for row_id, payload_hash in reader.planned():
        selection.add(row_id, payload_hash)
    return selection.fingerprint
