"""``reconcile``: find jobs whose replies were lost, or decide about their rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._text import plural
from .batch_options import same_account
from .completing import directories, rows
from .connection import Connection, sandbox_of
from .console import Console, can_ask
from .help import Command
from .options import account, output_options
from .prices import limits_of, pricing
from .resume import check_batch

if TYPE_CHECKING:
    from .settings import Setting

_ALL = "all"
_MAX_NAMED = 20


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@click.option(
    "--adopt", multiple=True, metavar="ROW=ID", help="Assign this job of the account to the row."
)
@click.option(
    "--abandon",
    multiple=True,
    metavar="ROW",
    shell_complete=rows,
    help="Give up the row; it gets no file.",
)
@click.option(
    "--resubmit",
    multiple=True,
    metavar="ROW|all",
    shell_complete=rows,
    help="Plan the row again, or all of them: the next run pays AGAIN.",
)
@click.option("--sandbox", is_flag=True, help="Ask the sandbox of `batch --sandbox`.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a row may be paid for twice.")
@click.option("--no-input", is_flag=True, help="Never ask; fail where a question is needed.")
@same_account
@pricing
@output_options
@account
def reconcile(
    console: Console,
    settings: dict[str, Setting],
    directory: str,
    adopt: tuple[str, ...],
    abandon: tuple[str, ...],
    resubmit: tuple[str, ...],
    same_account: bool,
    sandbox: bool,
    yes: bool,
    no_input: bool,
) -> int:
    """Find the jobs of rows in DIR whose replies were lost, in the account's own list.

    \b
    Examples:
      modelslab-async reconcile music/
      modelslab-async reconcile music/ --adopt 17=310815
      modelslab-async reconcile music/ --resubmit 17 --yes

    Such a job may exist and be paid for, so its row is never resubmitted
    automatically. A job with the row's track_id is assigned to the row: `resume DIR`
    then downloads its file, free. For other rows, jobs with their prompt are
    proposed, and you decide. Without an API key, this only lists the rows.
    """
    pairs = [_pair(text) for text in adopt]
    place = Path(directory)
    check_batch(place)
    connection = sandbox_of(Connection(settings=settings, sandbox=sandbox), place)
    connection.check_sandbox()
    if adopt:
        connection.check()
    again = _ambiguous(place) if _ALL in resubmit else resubmit
    if again and not yes:
        _confirm(again, no_input=no_input)
    from .reconcile_run import Orders, reconciled

    orders = Orders(
        adopt=pairs,
        abandon=list(abandon),
        resubmit=list(again),
        same_account=same_account or sandbox,
    )
    return reconciled(place, connection, orders, limits_of(settings, place), console)


def _pair(text: str) -> tuple[str, str]:
    row, _, job_id = text.rpartition("=")
    if not row or not job_id:
        raise click.UsageError(f"--adopt takes ROW=ID, not {text!r}")
    return row, job_id


def _ambiguous(directory: Path) -> list[str]:
    """The numbers of all ambiguous rows; one that becomes so later is not meant."""
    from ..batch import Reader, RowState

    with Reader.open(directory) as reader:
        return [str(row.seq) for row in reader.each((RowState.AMBIGUOUS,))]


def _confirm(rows: Sequence[str], *, no_input: bool) -> None:
    named = ", ".join(rows[:_MAX_NAMED]) + (", ..." if len(rows) > _MAX_NAMED else "")
    words = f"{plural(len(rows), 'row')} ({named}) may be paid for twice"
    if not can_ask(no_input=no_input):
        raise click.UsageError(f"{words}: pass --yes to plan them again without a question")
    if not click.confirm(f"{words}. Plan them again?", err=True):
        raise click.ClickException("nothing was changed")
