"""``resume``: go on with a batch, from its directory alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .batch_options import batch_options
from .completing import directories
from .console import Console
from .error_mapping import OK, NotThere
from .help import Command
from .options import account, output_options, waiting

if TYPE_CHECKING:
    from .batch_options import BatchOptions


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@waiting
@output_options
@account
@batch_options
def resume(console: Console, options: BatchOptions, directory: str) -> int:
    """Go on with the batch in DIR where it stopped; no manifest is needed.

    \b
    Examples:
      modelslab-async resume music/ --sandbox
      modelslab-async resume music/ --dry-run
      modelslab-async resume music/ --retry failed --yes

    What is paid for is polled again and brought to disk; what was not sent yet is
    sent, and paid for. Rows that are done stay as they are. Rows that failed or
    were rejected are retried only with --retry. --retry missing reads all files,
    and downloads those again, free, that are missing or changed; a changed file
    stays, and the new one is saved beside it.
    """
    from .batch_plan import make_plan, print_plan

    place = Path(directory)
    check_batch(place)
    plan = make_plan(place, None, options, console)
    if options.dry_run:
        print_plan(plan, place, console)
        return OK
    from .batch_run import run_batch  # loads what speaks to the API

    return run_batch(place, options, console, plan)


def check_batch(directory: Path) -> None:
    """See that a directory holds a batch.

    Raises:
        NotThere: it does not.
    """
    from ..batch import holds_batch

    if not holds_batch(directory):
        raise NotThere(f"there is no batch in {directory}")
