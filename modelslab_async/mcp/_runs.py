"""The runs of batches in this process. Each is a task of its own, whatever becomes of its call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from mcp.server.mcpserver.exceptions import ToolError

from .._engine.aio import in_thread, wait_shielded
from ..batch import Batch, Budget, Limits, RowState, runner_of
from ..client import ModelsLab
from ..errors import LimitReached
from ._gate import NOT_SENT, Quote, check_budget, unsent
from ._lock import RootLock
from ._root import Root, counts_of

_LOOK: Final = 1.0
_GRACE: Final = 1.0  # clients send SIGTERM 2 s after they have closed standard input
UNDER_WAY: Final = (RowState.SUBMITTING, RowState.SUBMITTED, RowState.READY)
_OPEN: Final = frozenset({*UNDER_WAY, RowState.DETACHED, RowState.AMBIGUOUS})

Told = Callable[[int, int], Coroutine[Any, Any, None]]


@define(eq=False)
class Run:
    """One run of one batch.

    Attributes:
        folder: of the batch.
        quote: what was agreed to; ``None``: it pays for nothing.
        before: what the batch had paid when it began.
        task: returns when the run has ended, and raises why it ended early.
        batch: while it is open.
    """

    folder: Path
    quote: Quote | None
    before: Budget
    task: asyncio.Task[None] = field(init=False)
    batch: Batch | None = None

    @property
    def ids(self) -> frozenset[str]:
        """The tracks that it makes."""
        return self.quote.ids if self.quote else frozenset()


class Runs:
    """Starts runs and waits for them. Leaving the block ends them in order.

    Args:
        client: open.
        root: of all batches.
        grace: seconds that runs have to finish their jobs when the block is left.
    """

    def __init__(self, client: ModelsLab, root: Root, *, grace: float = _GRACE) -> None:
        self.root = root
        self._client = client
        self._grace = grace
        self._runs: dict[Path, Run] = {}
        self._starting = asyncio.Lock()
        self._lock = RootLock(root.path)

    async def __aenter__(self) -> Runs:
        return self

    async def __aexit__(self, *_: object) -> None:
        running = [run for run in self._runs.values() if not run.task.done()]
        for run in running:
            if run.batch is not None:
                run.batch.stop()
        tasks = [run.task for run in running]
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=self._grace)
        finally:
            for task in tasks:
                task.cancel()
            # Answers to submits that are on their way are kept; nothing more is sent.
            await wait_shielded(asyncio.gather(*tasks, return_exceptions=True))

    def active(self, folder: Path) -> Run | None:
        """The run of a batch, if it has not ended."""
        run = self._runs.get(folder)
        return None if run is None or run.task.done() else run

    async def check(self, quote: Quote) -> None:
        """See that a quote could be paid for now.

        Raises:
            ToolError: the limits do not allow it, another server of this root is paying, or the
                batch is being worked on.
        """
        run = self.active(self.root.folder(quote.batch))
        if run is not None:
            raise ToolError(
                f"the batch {quote.batch} is being worked on: call wait_music until it is "
                f"finished, then this again, or take another batch; {NOT_SENT}"
            )
        with ExitStack() as stack:
            self._take(stack)  # for now, to see whether it can be had
        check_budget(self.root, quote, await self.promised())

    async def promised(self) -> Budget:
        """What is spent below the root, and what runs under way may still spend."""
        jobs, cost = 0, Decimal(0)
        for run in list(self._runs.values()):
            if run.task.done() or run.quote is None:
                continue
            now = await in_thread(partial(self.root.spent_in, run.folder))
            jobs += max(run.quote.jobs - (now.jobs - run.before.jobs), 0)
            if run.quote.cost is not None:
                cost += max(run.quote.cost - (now.cost - run.before.cost), Decimal(0))
        # Read last: what is paid meanwhile counts twice for once, and never not at all.
        total = await in_thread(self.root.spent)
        total.jobs += jobs
        total.cost += cost
        return total

    async def pay(self, quote: Quote) -> None:
        """Begin to make the tracks of a quote that was agreed to.

        Raises:
            ToolError: the limits do not allow it, or another server of this root is paying.
        """
        folder = self.root.folder(quote.batch)
        async with self._starting:
            run = self.active(folder)
            if run is not None and quote.ids <= run.ids:
                return  # the same call, twice at once
            with ExitStack() as stack:
                self._take(stack)
                await self.check(quote)
                before = await in_thread(partial(self.root.spent_in, folder))
                self._begin(Run(folder, quote, before), stack.pop_all())

    def _take(self, stack: ExitStack) -> None:
        """Take the lock of the root, where there is a limit to be kept."""
        limits = self.root.limits
        if limits.max_cost is not None or limits.max_jobs_total is not None:
            self._lock.acquire()
            stack.callback(self._lock.release)

    def finish(self, folder: Path) -> None:
        """Begin to finish what is paid for in a batch, free of charge."""
        self._begin(Run(folder, None, Budget(Limits())), ExitStack())

    async def wait(self, folder: Path, seconds: float, told: Told) -> None:
        """Wait until the batch has nothing under way, in this process or another, or so long.

        Raises:
            ModelsLabError: the run has ended early: the reason.
        """
        loop = asyncio.get_running_loop()
        end, last = loop.time() + seconds, (-1, -1)
        while True:
            run = self._runs.get(folder)
            counts = await self._counts(run, folder)
            now = counts.get(RowState.DONE, 0), sum(counts.values())
            if now != last:
                last = now
                await told(*now)
            left = min(_LOOK, end - loop.time())
            if run is not None:
                if left > 0:
                    await asyncio.wait({run.task}, timeout=left)
                if run.task.done():
                    await self._ended(run, told)
                    return
            elif left <= 0 or not await in_thread(partial(runner_of, folder)):
                return
            else:
                await asyncio.sleep(left)
            if loop.time() >= end:
                return

    def needs_work(self, folder: Path, counts: Mapping[RowState, int]) -> bool:
        """Whether jobs are paid for, or may be, that nobody follows."""
        if not any(counts.get(state) for state in _OPEN) or self.active(folder):
            return False
        return runner_of(folder) is None

    async def _ended(self, run: Run, told: Told) -> None:
        if self._runs.get(run.folder) is run:
            del self._runs[run.folder]
        counts = await self._counts(None, run.folder)
        await told(counts.get(RowState.DONE, 0), sum(counts.values()))
        try:
            run.task.result()
        except LimitReached:
            # Else it stopped before what it was not to send.
            if await in_thread(partial(unsent, run.folder, run.ids)):
                raise

    async def _counts(self, run: Run | None, folder: Path) -> Mapping[RowState, int]:
        if run is not None and run.batch is not None:
            return run.batch.counts
        return await in_thread(partial(counts_of, folder))

    def _begin(self, run: Run, stack: ExitStack) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            stack.close()
            if not task.cancelled():
                task.exception()  # mark it as retrieved; `wait` raises it

        run.task = asyncio.create_task(self._work(run))
        run.task.add_done_callback(ended)
        self._runs[run.folder] = run

    async def _work(self, run: Run) -> None:
        quote = run.quote
        batch = self._client.batch(
            None if quote is None else quote.rows,
            directory=run.folder,
            only=run.ids,
            max_new_jobs=0 if quote is None else quote.jobs,
            limits=None if quote is None else self.root.prices,
            template=None if quote is None else quote.template,
        )
        async with batch as outcomes:
            run.batch = batch
            try:
                async for _ in outcomes:
                    pass  # the ledger keeps them
            finally:
                run.batch = None
