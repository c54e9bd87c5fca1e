"""Run a batch, report its progress, and print the command that continues it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click
from attrs import evolve

from modelslab_async import (
    LedgerCopied,
    LedgerError,
    LedgerMoved,
    ModelsLabError,
    RowState,
    Succeeded,
)

from .._text import plural, safe_text
from ..batch import Ledger, Plan, Reader, holds_batch, settled
from .after import AfterSaved
from .batch_options import BatchOptions
from .batch_plan import changes_of, confirm, make_plan, summary
from .batch_progress import Reporter, look, reporter_of
from .connection import opened, sandbox_of
from .console import STOPPING, Console, can_ask, command_line, operand
from .error_mapping import BROKEN_PIPE, OK, SOME_FAILED, as_json, error_shape, explain, meaning_of
from .file_check import FileCheck, quick_check
from .listen_page import beside
from .signals import run
from .streams import nobody_reads
from .webhook_listener import PORT, receiving

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from modelslab_async.webhooks import WebhookReceiver

    from ..batch import Batch, PlannedRow

_MAX_NAMED = 20

Counts = Mapping[RowState, int]


def run_batch(
    directory: Path,
    options: BatchOptions,
    console: Console,
    plan: Plan,
    rows: Iterable[PlannedRow] = (),
) -> int:
    """Run the plan, after a confirmation if it needs one, and return the exit code."""
    for line in changes_of(plan):
        console.warn(line)
    if not (plan.jobs or plan.left or plan.underway or options.retries_missing):
        if plan.alters:  # or the next `resume` would pay for what the manifest has no more
            anyio.run(_plan, directory, rows, plan.template)
        return _over(directory, console, options, plan)
    options.connection.check()
    confirm(plan, options)
    rows_there = f"{plural(plan.rows, 'row')} in {directory}"
    console.info(f"{rows_there}, with {options.connection.origin}: {summary(plan)}")
    if options.retries_missing:  # of a large batch that takes its time
        done = plural(plan.counts.get(RowState.DONE, 0), "done row")
        console.info(f"reading the files of {done} first")
    connection = sandbox_of(options.connection, directory, _attempts(directory))
    options = evolve(options, connection=connection)
    run = _Run(directory, options, console, plan)
    code = run.code(rows if plan.alters else ())
    if not isinstance(run.stopped, LedgerCopied) or not can_ask(no_input=options.no_input):
        return code
    # The account's list was checked, so less is left than before.
    if not click.confirm("Pay for the planned rows from this copy?", err=True):
        return code
    left = make_plan(directory, None, options, console)
    return _Run(directory, evolve(options, accept_copy=True), console, left).code(())


def _over(directory: Path, console: Console, options: BatchOptions, plan: Plan) -> int:
    counts, check = _counts(directory), quick_check(directory)
    if not check.kinds:
        console.info(f"nothing to do: {counts[RowState.DONE]} of {plan.rows} rows are done")
    code = _code_of(counts, check) or _flagged(directory, console, options)
    _end(console, counts, check, code, directory, options)
    return code


class _Run:
    """One run of one batch."""

    def __init__(
        self, directory: Path, options: BatchOptions, console: Console, plan: Plan
    ) -> None:
        self._directory = directory
        self._plan = plan
        self._options = options
        self._console = console
        self._reporter = reporter_of(console)
        self.stopped: ModelsLabError | None = None
        self._counts: Counts | None = None
        self._after = AfterSaved(options.programs(), console)

    def code(self, rows: Iterable[PlannedRow]) -> int:
        """Run, print the result, and return the exit code."""
        try:
            signalled = run(self._work(rows), first=self._first, last_words=self._last_words)
        except Exception:  # a bug of ours must not lose a job
            self._last_words()
            raise
        finally:
            self._reporter.close()
        counts = self._counts or _counts(self._directory)
        place = self._left_in()
        check = FileCheck() if signalled or place is None else quick_check(place)
        code = signalled or (
            meaning_of(self.stopped).exit_code if self.stopped else _code_of(counts, check)
        )
        code = code or self._after.exit_code
        if place is not None and not code:
            code = _flagged(place, self._console, self._options)
        if code == SOME_FAILED and nobody_reads() and unfinished(counts):
            code = BROKEN_PIPE
        if not self._console.json:
            self._console.info(self._reporter.stats.words(counts))
        self._explain(code)
        _end(self._console, counts, check, code, place, self._options)
        return code

    def _left_in(self) -> Path | None:
        """Where a later run continues; ``None`` when the directory is gone."""
        if not isinstance(self.stopped, LedgerMoved):
            return self._directory
        return None if self.stopped.directory is None else Path(self.stopped.directory)

    async def _work(self, rows: Iterable[PlannedRow]) -> int:
        try:
            await self._steps(rows)
        except ModelsLabError as error:
            self.stopped = error
        return OK

    async def _steps(self, rows: Iterable[PlannedRow]) -> None:
        if rows:
            await _plan(self._directory, rows, self._plan.template)
        options = self._options
        async with (
            self._after,
            _receiver(self._directory, options) as receiver,
            beside(self._directory, self._console) if options.listen else nullcontext(),
            opened(options.connection, receiver, self._reporter.waits.observe) as client,
            client.batch(
                None,
                directory=self._directory,
                template=self._plan.template,
                restrict_filenames=options.restrict_filenames,
                limits=self._plan.limits,
                max_new_jobs=options.limit,
                only=self._plan.only,
                confirmed=self._plan.selection.fingerprint,
                # Each run has a key and a port of its own, but the sandbox is of one account.
                same_account=options.same_account or options.connection.sandbox,
                retry=options.retried,
                retry_rows=self._plan.retried,
                retry_flagged=options.retried_flags,
                retry_missing=options.retries_missing,
                accept_copy=options.accept_copy,
            ) as outcomes,
            anyio.create_task_group() as group,
        ):
            group.start_soon(_tick, outcomes, self._reporter)
            try:
                async for outcome in outcomes:
                    self._reporter.ended(await outcomes.ledger.row(outcome.row), outcome)
                    for saved in outcome.saved if isinstance(outcome, Succeeded) else ():
                        self._after.saved(saved.path)
                    if nobody_reads():
                        outcomes.stop()
            except ModelsLabError as error:
                self.stopped = error
            self._counts = outcomes.counts
            group.cancel_scope.cancel()

    def _first(self) -> None:
        self._reporter.close()
        self._console.warn(STOPPING)

    def _last_words(self) -> None:
        counts = _counts(self._directory)
        _end(self._console, counts, FileCheck(), None, self._directory, self._options)

    def _explain(self, code: int) -> None:
        """Why the run stopped before its end, if it did."""
        place = self._left_in()
        again = "" if place is None else self._options.again(place)
        if self.stopped is None:
            if code > 128 and self._console.json:
                self._console.error_json(error_shape("stopped", "stopped by a signal", again, code))
        elif self._console.json:
            self._console.error_json(as_json(self.stopped, hint=again))
        else:
            explain(self._console, self.stopped)


def _receiver(
    directory: Path, options: BatchOptions
) -> AbstractAsyncContextManager[WebhookReceiver] | AbstractAsyncContextManager[None]:
    if options.webhook_url is None:
        return nullcontext()
    return receiving(directory, options.webhook_url, options.webhook_port or PORT)


async def _plan(directory: Path, rows: Iterable[PlannedRow], template: str) -> None:
    """All rows are on disk before the first is sent, so that a crash forgets none."""
    async with Ledger(directory) as ledger:
        planned = await ledger.plan(rows, replaces=True, whole=True, template=template)
    if planned.changed:
        raise LedgerError("the manifest has changed since it was checked; run again")


async def _tick(outcomes: Batch, reporter: Reporter) -> None:
    with suppress(LedgerError, sqlite3.Error):  # the run meets the same error, and reports it
        while True:
            await anyio.sleep(reporter.interval)
            reporter.stats.cost = (
                float(outcomes.budget.cost) if outcomes.budget.limits.priced else None
            )
            reporter.tick(await look(outcomes))
            if nobody_reads():  # and no outcome may come for a while
                outcomes.stop()


# --- what is left ---------------------------------------------------------------------------------


def _counts(directory: Path) -> Counts:
    """Rows by state; none while there is no ledger that can be read."""
    try:
        with Reader.open(directory) as reader:
            return reader.counts()
    except LedgerError:
        return dict.fromkeys(RowState, 0)


def _attempts(directory: Path) -> int:
    """Submits so far, to other sandboxes: the ids of a new account begin after theirs."""
    if not holds_batch(directory):
        return 0
    with Reader.open(directory) as reader:
        return reader.attempts()


def _code_of(counts: Counts, check: FileCheck) -> int:
    missing = sum(counts.values()) - counts[RowState.DONE] - counts[RowState.SKIPPED]
    return SOME_FAILED if missing else check.exit_code


def _flagged(directory: Path, console: Console, options: BatchOptions) -> int:
    """Name done rows that have a flag of ``--fail-on``, and return the exit code of that."""
    if not options.fail_on:
        return OK
    with Reader.open(directory) as reader:
        rows = list(islice(reader.flagged(options.fail_on), _MAX_NAMED + 1))
    if not rows:
        return OK
    for row in rows[:_MAX_NAMED]:
        console.error(
            f"row {row.seq}: {safe_text(row.path or '', 80)}: {', '.join(row.flags or ())}"
        )
    retry = f"flagged={','.join(options.fail_on)}"
    again = command_line("resume", operand(directory), "--retry", retry)
    more = " and more" if len(rows) > _MAX_NAMED else ""
    console.warn(f"listen to these{more}; {again} makes them again, and pays for each")
    return SOME_FAILED


def unfinished(counts: Counts) -> int:
    """Rows that another run would continue."""
    return sum(count for state, count in counts.items() if not settled(state))


def _end(
    console: Console,
    counts: Counts,
    check: FileCheck,
    code: int | None,
    directory: Path | None,
    options: BatchOptions,
) -> None:
    """Print what a run left unfinished, and the command that continues it."""
    left = unfinished(counts)
    again = ""
    if directory is not None and (left or check.lost):
        again = options.again(directory, missing=bool(check.lost))
    if console.json:
        named = {state.value: count for state, count in counts.items()}
        ended = {"exit_code": code, "counts": named, "faults": check.as_json()}
        event = {"schema_version": 1, "event": "ended", "track_id": None}
        console.print_json({**event, **ended, "resume": again or None})
        return
    if directory is None:
        return
    if counts[RowState.AMBIGUOUS]:
        sandbox = ["--sandbox"] if options.connection.sandbox else []
        told = command_line("reconcile", operand(directory), *sandbox)
        jobs = plural(counts[RowState.AMBIGUOUS], "job")
        console.warn(f"{jobs} may exist and be paid for; see {told}")
    missing = sum(counts.values()) - counts[RowState.DONE] - counts[RowState.SKIPPED] - left
    if missing:
        told = command_line("status", operand(directory))
        console.warn(f"{plural(missing, 'row has', 'rows have')} no file; {told} says why")
    if check.kinds:
        free = "; --retry missing downloads them again, free" if check.lost else ""
        console.warn(f"{check.words}{free}")
    if again:
        console.always(f"resume with: {again}")
