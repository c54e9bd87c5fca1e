"""``batch``: one file on disk for each row of a manifest, across crashes and restarts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .batch_options import batch_options
from .completing import directories, files
from .console import Console
from .error_mapping import OK
from .help import Choice, Command
from .naming import check_writable
from .options import account, enterprise, output_options, waiting

if TYPE_CHECKING:
    from ..batch import Format, Plan
    from .batch_options import BatchOptions

# Elsewhere, rows that are paid for here would be paid for again.
_ADVICE = (
    "a new batch can have another place with -o; a batch that is here already has to be moved "
    "whole, with its ledger"
)


@click.command(cls=Command, no_args_is_help=True)
@click.argument("manifest", metavar="FILE|-", shell_complete=files)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    shell_complete=directories,
    help="Output directory.  [default: prompts-batch]",
)
@click.option(
    "--format",
    "form",
    type=Choice(["text", "jsonl", "csv", "toml"]),
    help="Format of FILE.  [default: by its name, or its first line]",
)
@enterprise
@waiting
@output_options
@account
@batch_options
def batch(
    console: Console, options: BatchOptions, manifest: str, output: str | None, form: Format | None
) -> int:
    """Generate music for each row of FILE: text, JSONL or CSV; - is standard input.

    \b
    Examples:
      modelslab-async batch --sandbox prompts.txt
      modelslab-async batch prompts.jsonl -o music/ --dry-run
      printf 'waltz\\ntechno\\n' | modelslab-async batch --sandbox - -o music/

    Text has one prompt per line, JSONL one object per line, CSV one column per
    field, as spreadsheets write it. Fields have the API's names; id is a row's
    own key. Lines of text or JSONL that begin with # are comments; \\# begins a
    prompt with it. What was read is shown first, and all rows are checked
    before anything is paid. The same command again, or `resume DIR`, continues
    where a run stopped, and pays for nothing twice. Paths go to stdout as files
    are finished, the rest to results.jsonl and ledger.sqlite3 in DIR; --json
    prints one event per line.
    """
    from .batch_plan import make_plan, opened_manifest, print_plan
    from .batch_preview import preview_lines

    directory = _place(manifest, output)
    check_writable(directory, warn=console.warn if options.dry_run else None, advice=_ADVICE)
    with opened_manifest(manifest, form) as rows:
        plan = make_plan(directory, rows, options, console)
        _warn_of_strange(console, plan, directory)
        if options.dry_run:
            print_plan(plan, directory, console)
            return OK
        if plan.reading and plan.added:
            options.connection.check()
            for line in preview_lines(plan):
                console.info(line)
        from .batch_run import run_batch  # loads what speaks to the API, after the first lines

        to_twins = options.connection.settings["enterprise"].value
        return run_batch(directory, options, console, plan, rows.planned(enterprise=to_twins))


def _place(manifest: str, output: str | None) -> Path:
    if output is not None:
        return Path(output)
    if manifest == "-":
        raise click.UsageError("a batch from standard input needs a directory: name it with -o")
    return Path(f"{Path(manifest).stem}-batch")


def _warn_of_strange(console: Console, plan: Plan, directory: Path) -> None:
    others = plan.unlisted - plan.dropped - (plan.skipped - plan.held)
    if others:
        console.warn(
            f"{directory} holds {others} rows that are not in this manifest; "
            "what is paid for of them is finished"
        )
