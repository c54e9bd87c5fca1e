"""Apply the user's decisions on ambiguous rows, search for the other jobs, print the result."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, define, field, frozen

from modelslab_async import RowState, WrongAccount

from .._text import decimal_text, plural, safe_text
from ..batch import (
    Ledger,
    Reader,
    accepted_between,
    is_writable,
    propose_pairs,
    request_of,
)
from .batch_run import unfinished
from .connection import Connection, opened
from .console import Console, command_line, fetch_command, operand
from .error_mapping import OK, SOME_FAILED, explain, meaning_of
from .signals import run
from .status import instant, row_of

if TYPE_CHECKING:
    from modelslab_async import Limits, ModelsLabError

    from ..batch import Pair, Reconciler, Row, UnmatchedJob


@frozen(kw_only=True)
class Orders:
    """The user's decisions, per row id or number; ``adopt`` has pairs of row and job id.

    ``same_account``: the user says that this account paid, although its key or origin is new.
    """

    adopt: Sequence[tuple[str, str]]
    abandon: Sequence[str]
    resubmit: Sequence[str]
    same_account: bool

    def __bool__(self) -> bool:
        return bool(self.adopt or self.abandon or self.resubmit)


@frozen
class _Unmatched:
    """A job of the account without a row, and between which times it was accepted."""

    job: UnmatchedJob
    after: float | None
    before: float | None

    @property
    def moment(self) -> str:
        """In words; empty if nothing is known."""
        times = [
            *([] if self.after is None else [f"after {instant(self.after)}"]),
            *([] if self.before is None else [f"before {instant(self.before)}"]),
        ]
        return f", accepted {' and '.join(times)}" if times else ""


@define
class _Found:
    """The result of the search."""

    resolved: list[Row] = field(factory=list)
    left: list[Row] = field(factory=list)
    unmatched: Sequence[_Unmatched] = ()
    pairs: Sequence[Pair] = ()
    unfinished: int = 0
    error: ModelsLabError | None = None


def reconciled(
    directory: Path,
    connection: Connection,
    orders: Orders,
    limits: Limits,
    console: Console,
) -> int:
    """Reconcile, print the result, and return the exit code: 0 if no row is ambiguous."""
    found = _Found()
    if not is_writable(directory) and not orders:
        console.warn(f"{directory} cannot be written to: listing its rows only")
        with Reader.open(directory) as reader:
            found.left = list(reader.each((RowState.AMBIGUOUS,)))
            found.unfinished = unfinished(reader.counts())
        return _print_result(directory, connection, found, limits, console)
    asks = connection.sandbox or bool(connection.settings["api_key"].value)
    console.info(f"asking {connection.origin}" if asks else "no API key: the account is not asked")
    code = run(_reconcile(directory, connection, orders, found, asks=asks))
    if code:
        return code
    return _print_result(directory, connection, found, limits, console)


def _print_result(
    directory: Path, connection: Connection, found: _Found, limits: Limits, console: Console
) -> int:
    if found.error:
        explain(console, found.error)
    if console.json:
        console.print_json(_report(found, limits))
    else:
        _print_rows(found, limits, console)
        _print_advice(directory, connection, found, console)
    if found.error:
        return meaning_of(found.error).exit_code
    return SOME_FAILED if found.left else OK


async def _reconcile(
    directory: Path, connection: Connection, orders: Orders, found: _Found, *, asks: bool
) -> int:
    async with Ledger(directory) as ledger:
        before = {row.seq async for row in ledger.each((RowState.AMBIGUOUS,))}
        await _apply(ledger, orders)
        if asks:
            async with opened(connection) as client:
                await _search(client.reconciler(ledger), ledger, orders, found)
        found.left = [row async for row in ledger.each((RowState.AMBIGUOUS,))]
        settled = sorted(before - {row.seq for row in found.left})
        found.resolved = [await ledger.row(seq) for seq in settled]
        found.unfinished = unfinished(await ledger.counts())
    return OK


async def _apply(ledger: Ledger, orders: Orders) -> None:
    for name in orders.abandon:
        await ledger.abandon((await _row(ledger, name)).seq)
    for name in orders.resubmit:
        await ledger.resubmit((await _row(ledger, name)).seq)


async def _search(reconciler: Reconciler, ledger: Ledger, orders: Orders, found: _Found) -> None:
    try:
        await reconciler.check_account(same=orders.same_account)
    except WrongAccount as error:
        if orders.adopt:
            raise
        found.error = error
        return
    for name, job_id in orders.adopt:
        row = await _row(ledger, name)
        await reconciler.confirm(row, job_id)
        await reconciler.adopt(row, job_id)
    await reconciler.run()
    found.error = reconciler.error
    found.unmatched = await ledger.read(partial(_placed, reconciler.unmatched))
    left = [row async for row in ledger.each((RowState.AMBIGUOUS,))]
    found.pairs = propose_pairs(left, reconciler.unmatched)


def _placed(jobs: Sequence[UnmatchedJob], reader: Reader) -> list[_Unmatched]:
    """The jobs, oldest first, each with what the batch's own jobs tell of its time."""
    times = {
        (family, job_id): between
        for family in {job.family for job in jobs}
        for job_id, between in accepted_between(
            [int(job.id) for job in jobs if job.family == family and job.id.isdecimal()],
            reader.accepted(family),
        ).items()
    }
    unknown = (None, None)
    return [
        _Unmatched(job, *times.get((job.family, int(job.id) if job.id.isdecimal() else 0), unknown))
        for job in sorted(jobs, key=lambda job: (len(job.id), job.id))
    ]


async def _row(ledger: Ledger, name: str) -> Row:
    return await ledger.read(lambda reader: row_of(reader, name))


# --- output ---------------------------------------------------------------------------------------


def _cost(row: Row, limits: Limits) -> Decimal | None:
    """Return the cost of the row's submit; the current price if it was unknown then."""
    if row.cost is not None:
        return Decimal(row.cost)
    return limits.price_of(request_of(row))


def _report(found: _Found, limits: Limits) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "resolved": [_about(row) for row in found.resolved],
        "ambiguous": [
            {
                **_about(row),
                "submitted_at": row.submitted_at,
                "cost": None if cost is None else float(cost),
                "prompt": row.prompt,
                "reason": row.error,
            }
            for row, cost in ((row, _cost(row, limits)) for row in found.left)
        ],
        "unmatched": [
            {**asdict(one.job), "after": one.after, "before": one.before} for one in found.unmatched
        ],
        "proposed": [
            {"row": pair.row, "job_id": pair.job, "same_prompt": pair.same_prompt}
            for pair in found.pairs
        ],
    }


def _about(row: Row) -> dict[str, Any]:
    return {
        "row": row.seq,
        "id": row.id,
        "state": row.state.value,
        "track_id": row.track_id,
        "job_id": row.job_id,
    }


def _print_rows(found: _Found, limits: Limits, console: Console) -> None:
    for row in found.resolved:
        job = f", job {row.job_id}" if row.state is RowState.SUBMITTED else ""
        console.print(f"row {row.seq} ({safe_text(row.id, 40)}): {row.state.value}{job}")
    for row in found.left:
        cost = _cost(row, limits)
        price = "unknown" if cost is None else decimal_text(cost)
        console.print(
            f"row {row.seq} ({safe_text(row.id, 40)}): ambiguous, track_id {row.track_id}, sent "
            f"{instant(row.submitted_at or row.updated_at)}, likely cost {price}: "
            f"{safe_text(row.prompt, 60)}"
        )
    for one in found.unmatched:
        words = safe_text(one.job.prompt or "unknown", 60)
        console.print(f"unmatched job {one.job.id} of the account{one.moment}, prompt: {words}")
    for pair in found.pairs:
        why = "its prompt" if pair.same_prompt else "only the order of sending"
        console.print(f"proposed: row {pair.row} has job {pair.job}; {why} says so")


def _print_advice(directory: Path, connection: Connection, found: _Found, console: Console) -> None:
    if found.left:
        console.warn(
            f"{plural(len(found.left), 'row')} may have a job that is paid for: look for track_id "
            "in your dashboard, then --adopt ROW=ID, --abandon ROW, or --resubmit ROW to pay again"
        )
    if found.pairs:
        ids = [pair.job for pair in found.pairs]
        adopt = [word for pair in found.pairs for word in ("--adopt", f"{pair.row}={pair.job}")]
        arguments = connection.arguments
        if not connection.sandbox:  # which `fetch` cannot ask
            console.info(f"hear them first: {fetch_command(ids, ['-o', 'unmatched/', *arguments])}")
        take = command_line("reconcile", operand(directory), *adopt, *arguments)
        console.info(f"then, if they are right: {take}")
    if found.unfinished:
        again = command_line("resume", operand(directory), *connection.arguments)
        console.always(f"resume with: {again}")
