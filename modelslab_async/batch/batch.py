"""Run many requests as one batch, inside an `async with` block: the library's side of it.

The block owns the ledger, the results file and one task that runs everything. Leaving the block,
however it is left, ends that task in an orderly way before the ledger is closed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from attrs import frozen

from ..errors import LedgerError, RequestError
from ..policy.explaining import may_exist
from ..runtime import in_thread, to_the_end
from ..session import Session
from . import changes
from .given import Row as GivenRow
from .given import taken
from .ledger import Ledger
from .lines import BadRow
from .manifest import Request, from_requests
from .money import Limits, Purse, seconds_of
from .naming import DEFAULT_TEMPLATE, check_template
from .reading import Reader
from .reconciling import Reconciler
from .results import Result, ResultsFile
from .rows import PlannedRow, Row
from .runner import Failed, Outcome, Runner
from .states import RowState

_CHUNK = 500
_MAX_NAMED = 20


@frozen(kw_only=True)
class BatchSettings:
    """How a batch is run.

    Attributes:
        template: how files are named, see `naming.file_name`.
        limits: what may be paid for.
        retry: states of rows that are planned anew before the run, each as a new job.
    """

    template: str = DEFAULT_TEMPLATE
    limits: Limits | None = None
    retry: frozenset[RowState] = frozenset()


class Batch:
    """A batch in one directory. Enter it, and iterate over its outcomes as they come.

    Args:
        session: of the open client.
        requests: what to make, each a `MusicGen`, a mapping of fields, or a prompt; read as far as
            they are needed, so they may go on for ever. ``None``: go on with what the directory
            holds.
        directory: where the files, the ledger and the results go.
        max_jobs: jobs that may be in the account's queue.
        settings: how it is run.
    """

    def __init__(
        self,
        session: Session,
        requests: Iterable[Request] | AsyncIterable[Request] | None,
        directory: Path,
        *,
        max_jobs: int,
        settings: BatchSettings,
    ) -> None:
        check_template(settings.template)
        self._session = session
        self._requests = requests
        self._directory = directory
        self._max_jobs = max_jobs
        self._settings = settings
        self._stack = AsyncExitStack()
        self._disk = anyio.CapacityLimiter(1)
        self._send, self._receive = anyio.create_memory_object_stream[Outcome](0)

    async def __aenter__(self) -> Self:
        """Open the directory.

        Raises:
            LedgerError: it is in use, damaged, or cannot be written to.
        """
        async with AsyncExitStack() as stack:
            self.ledger = await stack.enter_async_context(Ledger(self._directory))
            self._results = await in_thread(partial(ResultsFile, self._directory), self._disk)
            stack.callback(self._results.close)
            self._runner = await self._prepared()
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
        cancelled = await to_the_end(closing)
        closing.result()
        if cancelled is not None and error is None:
            raise cancelled

    def __aiter__(self) -> AsyncIterator[Outcome]:
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

    async def _prepared(self) -> Runner:
        purse = Purse(self._settings.limits or Limits())
        async for row in self.ledger.each():
            if row.state in self._settings.retry:
                await self.ledger.write(changes.replanned(row, "asked for anew"))
            elif row.state not in (RowState.PLANNED, RowState.REJECTED):
                purse.paid(seconds_of(taken(json.loads(row.request))[0]))
        return Runner(
            self._session,
            self.ledger,
            directory=self._directory,
            template=self._settings.template,
            max_jobs=self._max_jobs,
            purse=purse,
            report=self._report,
        )

    async def _run(self) -> None:
        reconciler = Reconciler(self._session, self.ledger)
        async with self._send:
            await reconciler.run()
            await self._runner.run(self._planned())
            if await reconciler.run_out():
                await self._runner.run(_nothing())
            async for row in self.ledger.each((RowState.AMBIGUOUS,)):
                error = may_exist(row.error or "", row.track_id or "", None)
                await self._report(row, Failed(id=row.id, row=row.seq, error=error))
        await self.ledger.read(partial(_rewrite, self._results))

    async def _planned(self) -> AsyncIterator[Row]:
        """Rows to submit, in order: what the ledger holds, and what the requests add to it."""
        last = 0
        async for chunk in _chunks(self._requests):
            await self._plan(chunk)
            async for row in self._page_after(last):
                last = row.seq
                yield row
        async for row in self._page_after(last):
            yield row

    async def _page_after(self, last: int) -> AsyncIterator[Row]:
        while page := await self.ledger.page((RowState.PLANNED,), after=last, limit=_CHUNK):
            for row in page:
                last = row.seq
                yield row

    async def _plan(self, rows: list[GivenRow]) -> None:
        planned = await self.ledger.plan(map(_to_plan, rows))
        if planned.changed:
            named = ", ".join(planned.changed[:_MAX_NAMED])
            raise LedgerError(
                f"{len(planned.changed)} rows are not what they were when they were planned: "
                f"{named}; give them new ids, or use another directory"
            )

    async def _report(self, row: Row, outcome: Outcome) -> None:
        await in_thread(partial(self._results.append, result_of(row)), self._disk)
        with suppress(anyio.BrokenResourceError):
            await self._send.send(outcome)

    async def _end(self) -> None:
        self._receive.close()
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # whoever took the outcomes has had it raised


def _to_plan(row: GivenRow) -> PlannedRow:
    return PlannedRow(row.id, row.given(), row.payload_hash, row.request.prompt)


async def _chunks(
    requests: Iterable[Request] | AsyncIterable[Request] | None,
) -> AsyncIterator[list[GivenRow]]:
    """Rows by the hundred; of requests that are all at hand, all are checked before the first."""
    if requests is None:
        return
    if isinstance(requests, Sequence):
        await _check_all(requests)
    chunk: list[GivenRow] = []
    async for row in from_requests(requests):
        if isinstance(row, BadRow):
            raise RequestError(f"{row}; nothing more was submitted")
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _check_all(requests: Sequence[Request]) -> None:
    bad = [row async for row in from_requests(requests) if isinstance(row, BadRow)]
    if bad:
        shown = "\n".join(map(str, bad[:_MAX_NAMED]))
        raise RequestError(
            f"{len(bad)} of {len(requests)} requests cannot be used; nothing was sent\n{shown}"
        )


async def _nothing() -> AsyncIterator[Row]:
    return
    yield


def _rewrite(results: ResultsFile, reader: Reader) -> None:
    results.finish(result_of(row) for row in reader.each())


def result_of(row: Row) -> Result:
    """What the ledger knows of a row, as the results file says it."""
    _, fields = taken(json.loads(row.request))
    ended = row.finished_at is not None and row.accepted_at is not None
    return Result(
        row=row.seq,
        id=row.id,
        job_id=row.job_id,
        track_id=row.track_id,
        prompt=row.prompt,
        path=row.path,
        seconds=row.seconds,
        sha256=row.sha256,
        generation_time=row.generation_time,
        waited=(row.finished_at or 0.0) - (row.accepted_at or 0.0) if ended else None,
        polls=row.polls,
        attempts=row.attempt,
        error=row.error if row.state is not RowState.DONE else None,
        fields=fields,
    )
