"""``reroll``: new takes of the files that were rejected, each a new, paid job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import evolve

from .._text import plural, safe_text
from .batch_options import batch_options
from .completing import directories
from .console import Console, confirm_payment
from .error_mapping import OK
from .help import Command
from .options import account, output_options, waiting
from .resume import check_batch

if TYPE_CHECKING:
    from ..batch import PlannedRow, Total
    from .batch_options import BatchOptions


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@waiting
@output_options
@account
@batch_options
def reroll(console: Console, options: BatchOptions, directory: str) -> int:
    """Make a new take of each rejected file of the batch in DIR, and pay for it.

    \b
    Examples:
      modelslab-async reroll music/ --dry-run
      modelslab-async reroll music/ --sandbox

    `listen DIR` is where files are rejected. The new take of row intro is a row
    intro~2 of the same batch, which sends the same request; if that is rejected,
    too, intro~3 follows. Run again, it makes the same rows and pays for none twice.
    Rejected files stay.
    """
    import anyio

    from ..batch import Ledger, Reader, rerolls

    place = Path(directory)
    check_batch(place)
    if options.only or options.retry:
        raise click.UsageError("reroll chooses its rows itself: leave out --only and --retry")
    takes = rerolls(place)
    with Reader.open(place) as reader:
        states = {take.id: reader.planned_as(take.id) for take in takes}
    unsent = [take for take in takes if _is_unsent(states[take.id])]
    if not takes:
        console.info("nothing is rejected")
        return OK
    if not unsent:
        console.info(f"nothing to do: {plural(len(takes), 'new take')} made before")
        return OK
    total = _total(unsent, options, place)
    from .prices import total_as_json, total_text

    told = total_text(total, total.price)
    if options.dry_run:
        if console.json:
            event = {"schema_version": 1, "event": "reroll", "track_id": None}
            ids = [take.id for take in unsent]
            console.print_json({**event, "takes": ids, **total_as_json(total, total.price)})
            return OK
        for take in unsent:
            console.print(f"{safe_text(take.id, 60)}  {safe_text(take.prompt, 100)}")
        console.print(told)
        return OK
    options.connection.check()
    if options.connection.is_live and not options.yes:
        confirm_payment(told, "reroll", no_input=options.no_input)

    async def plan() -> None:
        async with Ledger(place) as ledger:
            await ledger.plan(takes)

    anyio.run(plan)
    from .batch_plan import make_plan
    from .batch_run import run_batch

    chosen = evolve(options, only=tuple(take.id for take in unsent), yes=True)
    return run_batch(place, chosen, console, make_plan(place, None, chosen, console))


def _is_unsent(known: object) -> bool:
    from ..batch import KnownRow, RowState

    return not isinstance(known, KnownRow) or known.state is RowState.PLANNED


def _total(takes: list[PlannedRow], options: BatchOptions, place: Path) -> Total:
    """What the new takes come to, at the user's own prices."""
    from ..batch import Total
    from ..batch._records import from_record

    limits, total = options.limits(place), Total()
    for take in takes:
        request, _ = from_record(take.request)
        total.add(request.estimate(), limits.price_of(request))
    return total
