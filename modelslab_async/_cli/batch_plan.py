"""Show what a batch run would do, warn about suspicious input, and ask before paying."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelslab_async import RowState

from .._text import decimal_text, plural, safe_text
from ..batch import Manifest, Plan, Reading, plan_batch, snapshot
from .batch_preview import preview_as_json, preview_lines, warn_of_comments
from .connection import SANDBOX_ACCOUNT, on_this_machine
from .console import Console, confirm_payment
from .error_mapping import NotThere
from .prices import lines_by_endpoint, total_as_json, total_text

if TYPE_CHECKING:
    from modelslab_async import Limits

    from ..batch import Format
    from .batch_options import BatchOptions

_MAX_NAMED = 20
_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".toml": "toml",
}
_NO_MANIFESTS = {
    **dict.fromkeys((".md", ".markdown", ".rst"), "a document"),
    **dict.fromkeys((".yaml", ".yml", ".ini"), "a configuration file"),
    **dict.fromkeys((".html", ".htm", ".xml"), "a page"),
    **dict.fromkeys((".py", ".js", ".ts", ".sh"), "a program"),
}


@contextmanager
def opened_manifest(name: str, form: Format | None) -> Iterator[Manifest]:
    """The manifest of this name, ``-`` for standard input.

    The file's extension decides the format where it can: a table with a misspelled header, read
    as text, would be paid for line by line.

    Raises:
        NotThere: it cannot be read.
        click.UsageError: standard input is a terminal.
    """
    if name == "-" and sys.stdin.isatty():
        raise click.UsageError("batch - reads standard input, and that is a terminal: use a pipe")
    path = Path(name)
    form = form or _ENDINGS.get(path.suffix.lower())
    kind = _NO_MANIFESTS.get(path.suffix.lower())
    if kind and form is None:
        raise click.UsageError(
            f"{name} looks like {kind}, and each of its lines would be paid for as a prompt: "
            "pass its --format, or name another file"
        )
    if name != "-" and path.is_char_device():
        raise NotThere(f"{name}: is a device, not a file")
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else path.open("rb") as source:
            file = snapshot(source)
    except OSError as error:
        raise NotThere(f"{name}: {error.strerror}") from None
    with file:
        yield Manifest(file, form, None if name == "-" else path.parent)


def make_plan(
    directory: Path, manifest: Manifest | None, options: BatchOptions, console: Console
) -> Plan:
    """What a run would do in this directory; warns of what looks wrong.

    Raises:
        RequestError, LedgerError: as `plan_batch`.
        click.UsageError: jobs of a sandbox and of the API would be mixed.
    """
    plan = plan_batch(
        directory,
        manifest,
        limits=options.limits(directory),
        max_new_jobs=options.limit,
        only=options.only,
        retry=options.retried,
        retry_flagged=options.retried_flags,
        retry_missing=options.retries_missing,
        template=options.template,
        restrict_filenames=options.restrict_filenames,
        enterprise=options.connection.settings["enterprise"].value,
    )
    if plan.reading is not None:
        _warn_of_misspelled(console, plan.reading)
        warn_of_comments(plan.reading, console)
    if options.connection.sandbox and plan.paid_at and not on_this_machine(plan.paid_at):
        raise click.UsageError(
            f"{directory} holds a batch of {plan.paid_at}, and files of a sandbox would be mixed "
            "with its own: name another directory"
        )
    asks = plan.underway or (options.retries_missing and plan.counts.get(RowState.DONE))
    if options.connection.sandbox and asks and not (directory / SANDBOX_ACCOUNT).exists():
        raise click.UsageError(
            f"{directory} holds jobs of another sandbox or of the API, which the sandbox "
            "of this run does not know: name another directory"
        )
    return plan


def _warn_of_misspelled(console: Console, reading: Reading) -> None:
    near = reading.misspelled
    if near:
        named = [f"{safe_text(n, 40)} (did you mean {near[n]}?)" for n in [*near][:_MAX_NAMED]]
        console.warn(
            f"not sent, only copied to results.jsonl: {', '.join(named)}"
            + (" and more" if len(near) > _MAX_NAMED else "")
        )


def summary(plan: Plan) -> str:
    """What a run would pay for, in one line."""
    left = f"; {plural(plan.left, 'row')} left for another run" if plan.left else ""
    return f"{total_text(plan.total, plan.price)}{_capped(plan.limits)}{left}"


def _capped(limits: Limits) -> str:
    caps = []
    if limits.max_jobs_total is not None:
        caps.append(plural(limits.max_jobs_total, "job"))
    if limits.max_cost is not None:
        caps.append(f"a cost of {decimal_text(limits.max_cost)}")
    return f" (and no more than {' and '.join(caps)} in all runs)" if caps else ""


def changes_of(plan: Plan) -> list[str]:
    """What happens to unsent rows that the manifest has changed or dropped."""
    told = []
    if plan.dropped:
        rows = plural(plan.dropped, "row")
        told.append(f"{rows} not sent yet and no longer in the manifest: not generated")
    if plan.replaced:
        rows = plural(plan.replaced, "row")
        told.append(f"{rows} not sent yet and changed in the manifest: generated as it is now")
    if plan.held:
        told.append(f"{plural(plan.held, 'row')} skipped by hand: not generated")
    return told


def print_plan(plan: Plan, directory: Path, console: Console) -> None:
    """Print a plan, as data."""
    if console.json:
        console.print_json(
            {
                "schema_version": 1,
                "event": "plan",
                "track_id": None,
                "directory": str(directory),
                "rows": plan.rows,
                "underway": plan.underway,
                "left": plan.left,
                **total_as_json(plan.total, plan.price),
                "endpoints": {
                    name: total_as_json(total, total.price)
                    for name, total in plan.by_endpoint.items()
                },
                "dropped": plan.dropped,
                "replaced": plan.replaced,
                "held": plan.held,
                "manifest": preview_as_json(plan),
            }
        )
        return
    done = plan.counts.get(RowState.DONE, 0) - plan.missing
    going = f"{plural(plan.rows, 'row')}, {done} done, {plan.underway} paid for and unfinished"
    console.print(f"{going}, in {directory}")
    for line in (summary(plan), *lines_by_endpoint(plan), *changes_of(plan)):
        console.print(line)
    for line in preview_lines(plan):
        console.print(line)


def confirm(plan: Plan, options: BatchOptions) -> None:
    """Ask once before several jobs are paid for.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.ClickException: the answer is no.
    """
    if plan.jobs < 2 or not options.connection.is_live or options.yes:
        return
    confirm_payment(
        summary(plan), "batch", no_input=options.no_input, parts=lines_by_endpoint(plan)
    )
