"""Run a batch in its directory, tell about it, and say how to go on with what is left."""

from __future__ import annotations

import shlex
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click
from attrs import evolve

from modelslab_async import LedgerCopied, LedgerError, LedgerMoved, ModelsLabError, RowState

from ..batch import Ledger, Plan, Reader, holds_batch, settled
from .batch_options import BatchOptions
from .batch_plan import changes_of, confirm, make_plan, print_plan, summary
from .batch_preview import preview_lines
from .batch_progress import Reporter, board_of, look
from .connection import opened
from .error_mapping import OK, SOME_FAILED, as_json, error_shape, explain, meaning_of
from .file_check import FileCheck, quick_check
from .generate import plural
from .output import PROGRAM, STOPPING, Output, operand
from .signals import run
from .webhook_listener import PORT, receiving

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from modelslab_async.webhooks import WebhookReceiver

    from ..batch import Batch, PlannedRow

Counts = dict[RowState, int]


def run_batch(
    directory: Path, how: BatchOptions, voice: Output, plan: Plan, rows: Iterable[PlannedRow] = ()
) -> int:
    """Do what the plan says, after a question if it needs one, and return the exit code."""
    if how.dry_run:
        print_plan(plan, directory, voice)
        return OK
    for line in changes_of(plan):
        voice.warn(line)
    if not (plan.jobs or plan.left or plan.underway or how.retries_missing):
        if plan.dropped:  # or the next `resume` would pay for them
            anyio.run(_plan, directory, rows)
        return _over(directory, voice, how, plan)
    how.connection.check()
    for line in preview_lines(plan.preview) if plan.preview and plan.added else ():
        voice.say(line)
    confirm(plan, how)
    voice.say(
        f"{plural(plan.rows, 'row')} in {directory}, with {how.connection.origin}: {summary(plan)}"
    )
    if how.retries_missing:  # of a large batch that takes its time
        done = plural(plan.counts.get(RowState.DONE, 0), "done row")
        voice.say(f"reading the files of {done} first")
    how = evolve(how, connection=evolve(how.connection, seed=_attempts(directory)))
    run = _Run(directory, how, voice, plan)
    code = run.code(rows if plan.alters else ())
    if not isinstance(run.stopped, LedgerCopied) or not _is_accepted(how):
        return code
    left = make_plan(directory, None, how, voice)  # less than before what the account's list named
    return _Run(directory, evolve(how, accept_copy=True), voice, left).code(())


def _is_accepted(how: BatchOptions) -> bool:
    """Ask whether a copied directory is to be worked on, when the account's list was asked."""
    if how.no_input or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm("Pay for the planned rows from this copy?", err=True)


def _over(directory: Path, voice: Output, how: BatchOptions, plan: Plan) -> int:
    counts, check = _counts(directory), quick_check(directory)
    if not check.kinds:
        voice.say(f"nothing to do: {counts[RowState.DONE]} of {plan.rows} rows are done")
    code = _code_of(counts, check)
    _end(voice, counts, check, code, directory, how)
    return code


class _Run:
    """One run of one batch."""

    def __init__(self, directory: Path, how: BatchOptions, voice: Output, plan: Plan) -> None:
        self._directory = directory
        self._plan = plan
        self._how = how
        self._voice = voice
        self._board = board_of(voice)
        self.stopped: ModelsLabError | None = None
        self._counts: Counts | None = None

    def code(self, rows: Iterable[PlannedRow]) -> int:
        """The exit code of the run, when everything has been said."""
        try:
            signalled = run(self._work(rows), first=self._first, last_words=self._last_words)
        except Exception:  # a bug of ours must not cost anybody a job
            self._last_words()
            raise
        finally:
            self._board.close()
        counts = self._counts or _counts(self._directory)
        place = self._left_in()
        check = FileCheck() if signalled or place is None else quick_check(place)
        code = signalled or (
            meaning_of(self.stopped).exit_code if self.stopped else _code_of(counts, check)
        )
        if not self._voice.json:
            self._voice.say(self._board.tally.words(counts))
        self._explain(code)
        _end(self._voice, counts, check, code, place, self._how)
        return code

    def _left_in(self) -> Path | None:
        """Where a later run goes on; ``None`` when the directory is gone."""
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
            await _plan(self._directory, rows)
        how = self._how
        async with (
            _receiver(self._directory, how) as receiver,
            opened(how.connection, receiver, self._board.waits.observe) as client,
            client.batch(
                None,
                directory=self._directory,
                template=how.template,
                restrict_filenames=how.restrict_filenames,
                limits=self._plan.limits,
                max_new_jobs=how.limit,
                confirmed=self._plan.selection.fingerprint,
                # Each sandbox has a key and a port of its own, and all are the same nobody's.
                same_account=how.same_account or how.connection.sandbox,
                retry=how.retried,
                retry_rows=self._plan.retried,
                retry_missing=how.retries_missing,
                accept_copy=how.accept_copy,
            ) as outcomes,
            anyio.create_task_group() as group,
        ):
            group.start_soon(_tick, outcomes, self._board)
            try:
                async for outcome in outcomes:
                    self._board.ended(await outcomes.ledger.row(outcome.row), outcome)
            except ModelsLabError as error:
                self.stopped = error
            # Looked up while the ledger is open: whoever opens it to read leaves files beside it.
            self._counts = await outcomes.ledger.counts()
            group.cancel_scope.cancel()

    def _first(self) -> None:
        self._board.close()
        self._voice.warn(STOPPING)

    def _last_words(self) -> None:
        counts = _counts(self._directory)
        _end(self._voice, counts, FileCheck(), None, self._directory, self._how)

    def _explain(self, code: int) -> None:
        """Why the run stopped before its end, if it did."""
        place = self._left_in()
        again = "" if place is None else self._how.again(place)
        if self.stopped is None:
            if code > 128 and self._voice.json:
                self._voice.fail_json(error_shape("stopped", "stopped by a signal", again, code))
        elif self._voice.json:
            self._voice.fail_json(as_json(self.stopped, hint=again))
        else:
            explain(self._voice, self.stopped)


def _receiver(
    directory: Path, how: BatchOptions
) -> AbstractAsyncContextManager[WebhookReceiver] | AbstractAsyncContextManager[None]:
    if how.webhook_url is None:
        return nullcontext()
    return receiving(directory, how.webhook_url, how.webhook_port or PORT)


async def _plan(directory: Path, rows: Iterable[PlannedRow]) -> None:
    """All rows are on disk before the first is sent: whatever happens, none is forgotten."""
    async with Ledger(directory) as ledger:
        planned = await ledger.plan(rows, replaces=True, whole=True)
    if planned.changed:
        raise LedgerError("the manifest has changed since it was checked; run again")


async def _tick(outcomes: Batch, board: Reporter) -> None:
    with suppress(LedgerError, sqlite3.Error):  # the run meets the same trouble, and says so
        while True:
            await anyio.sleep(board.interval)
            board.tally.cost = float(outcomes.purse.cost) if outcomes.purse.limits.priced else None
            board.tick(await outcomes.ledger.read(look))


# --- what is left ---------------------------------------------------------------------------------


def _counts(directory: Path) -> Counts:
    """Rows by state; none while there is no ledger that can be read."""
    try:
        with Reader.open(directory) as reader:
            return reader.counts()
    except LedgerError:
        return dict.fromkeys(RowState, 0)


def _attempts(directory: Path) -> int:
    """Submits so far: the sandbox of another run gave that many ids at most."""
    if not holds_batch(directory):
        return 0
    with Reader.open(directory) as reader:
        return reader.attempts()


def _code_of(counts: Counts, check: FileCheck) -> int:
    missing = sum(counts.values()) - counts[RowState.DONE] - counts[RowState.SKIPPED]
    return SOME_FAILED if missing else check.exit_code


def unfinished(counts: Counts) -> int:
    """Rows that a further run would go on with."""
    return sum(count for state, count in counts.items() if not settled(state))


def _end(
    voice: Output,
    counts: Counts,
    check: FileCheck,
    code: int | None,
    directory: Path | None,
    how: BatchOptions,
) -> None:
    """The last words of a run: what it left, and the command that goes on."""
    left = unfinished(counts)
    gone = left - counts[RowState.PLANNED] if how.connection.sandbox else 0
    lost = 0 if how.connection.sandbox else check.lost  # a sandbox has its files while it runs
    again = ""
    if directory is not None and (left or lost) and not gone:
        again = how.again(directory, missing=bool(lost))
    if voice.json:
        named = {state.value: count for state, count in counts.items()}
        ended = {"exit_code": code, "counts": named, "files": check.as_json()}
        event = {"schema_version": 1, "event": "ended", "track_id": None}
        voice.give_json({**event, **ended, "resume": again or None})
        return
    if directory is None:
        return
    if counts[RowState.AMBIGUOUS] and not how.connection.sandbox:
        told = shlex.join([PROGRAM, "reconcile", operand(directory)])
        voice.warn(f"{counts[RowState.AMBIGUOUS]} jobs may exist and be paid for; see {told}")
    missing = sum(counts.values()) - counts[RowState.DONE] - counts[RowState.SKIPPED] - left
    if missing:
        told = shlex.join([PROGRAM, "status", operand(directory)])
        voice.warn(f"{missing} rows have no file; {told} says why")
    if check.kinds:
        free = "; --retry missing downloads them again, free" if lost else ""
        voice.warn(f"{check.words}{free}")
    if gone:
        voice.last(f"stopped; {gone} jobs ended with the sandbox of this run")
    elif again:
        voice.last(f"resume with: {again}")
