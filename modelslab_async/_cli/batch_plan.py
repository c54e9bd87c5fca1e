"""Say what a run would do, and what it would come to, before anything is sent or written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
from attrs import Factory, define, field, frozen

from modelslab_async import RequestError, RowState

from .._text import safe_text
from ..batch._account import ORIGIN
from ..batch._confirmed import Selection
from ..batch._limits import seconds_of, shown
from ..batch._manifest import (
    BadRow,
    Format,
    Reading,
    Report,
    Row,
    check_manifest,
    read_manifest,
    snapshot,
)
from ..batch._records import taken
from ..batch._rows import PlannedRow
from ..batch._sqlite.reader import Reader, holds_batch
from ..batch._states import UNSENT, settled
from ..batch._strict import REQUEST_FIELDS
from .batch_preview import Preview
from .connection import on_this_machine
from .error_mapping import NotThere
from .generate import plural, size_of
from .output import PROGRAM, Output

if TYPE_CHECKING:
    from modelslab_async import Limits, MusicGen

    from .batch_options import BatchOptions

_MAX_NAMED = 20
_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_NO_MANIFESTS = {
    **dict.fromkeys((".md", ".markdown", ".rst"), "a document"),
    **dict.fromkeys((".yaml", ".yml", ".toml", ".ini"), "a configuration file"),
    **dict.fromkeys((".html", ".htm", ".xml"), "a page"),
    **dict.fromkeys((".py", ".js", ".ts", ".sh"), "a program"),
}


@frozen
class Manifest:
    """A manifest that can be read twice: to check it, and then to plan its rows."""

    file: BinaryIO
    format: Format | None
    folder: Path | None

    def rows(self, reading: Reading | None = None) -> Iterator[Row | BadRow]:
        """Its rows, from the start."""
        self.file.seek(0)
        return read_manifest(self.file, self.format, folder=self.folder, reading=reading)

    def planned(self) -> Iterator[PlannedRow]:
        """Its rows as the ledger takes them.

        Raises:
            RequestError: the file has changed since it was checked, and cannot be used now.
        """
        for row in self.rows():
            if isinstance(row, BadRow):
                raise RequestError(f"{row}; nothing was sent")
            yield PlannedRow(row.id, row.given(), row.payload_hash, row.request.prompt)


@define
class Plan:
    """What a run would do.

    Attributes:
        limits: what may be paid for.
        counts: rows of the directory by state, before the run.
        added: rows of the manifest that the directory does not know.
        kept: rows of the manifest that it knows.
        restored: rows of the manifest that an earlier one did not hold.
        replaced: rows of the manifest that were not sent yet, and are otherwise now.
        unsent: rows of the manifest that it knows, and that were not sent yet.
        dropped: rows of the directory that were not sent yet, and are not in the manifest.
        looked_for: rows whose lost files shall be looked for again.
        changed: ids of rows that it knows otherwise.
        preview: how the manifest was read.
        jobs, seconds, mb, cost: what would be paid for anew, and what that would come to.
        selection: which rows that is.
    """

    limits: Limits
    counts: Mapping[RowState, int] = Factory(dict)
    added: int = 0
    kept: int = 0
    replaced: int = 0
    restored: int = 0
    unsent: int = 0
    dropped: int = 0
    looked_for: int = 0
    jobs: int = 0
    seconds: float = 0.0
    mb: float = 0.0
    cost: Decimal = Decimal(0)
    changed: list[str] = field(factory=list)
    preview: Preview | None = None
    selection: Selection = field(factory=Selection)

    @property
    def rows(self) -> int:
        """Rows that the directory will have."""
        return sum(self.counts.values()) + self.added - self.dropped - self.skipped

    @property
    def skipped(self) -> int:
        """Rows that an earlier run left out, and this one leaves out again."""
        return self.counts.get(RowState.SKIPPED, 0) - self.restored

    @property
    def alters(self) -> bool:
        """Whether the ledger does not hold the rows as the manifest does."""
        return bool(self.added or self.replaced or self.restored or self.dropped)

    def changes(self) -> list[str]:
        """What becomes of rows that were not sent yet, and that the manifest holds otherwise."""
        told = []
        if self.dropped:
            rows = plural(self.dropped, "row")
            told.append(f"{rows} not sent yet and not in the manifest any more: not generated")
        if self.replaced:
            rows = plural(self.replaced, "row")
            told.append(f"{rows} not sent yet and changed in the manifest: generated as it is now")
        return told

    @property
    def underway(self) -> int:
        """Rows that go on without being paid for again."""
        free = [state for state in RowState if not settled(state) and state is not RowState.PLANNED]
        return sum(self.counts.get(state, 0) for state in free) + self.looked_for

    @property
    def unlisted(self) -> int:
        """Rows of the directory that the manifest does not hold."""
        return sum(self.counts.values()) - self.kept

    def add(self, row_id: str, payload_hash: str, request: MusicGen) -> None:
        """The job of one more row would be paid for."""
        self.selection.add(row_id, payload_hash)
        seconds = seconds_of(request)
        self.jobs += 1
        self.seconds += float(seconds)
        self.mb += size_of(request)[1]
        self.cost += self.limits.cost(seconds)

    def __str__(self) -> str:
        price = shown(self.cost) if self.limits.priced else "unknown"
        sizes = f"{self.seconds:.0f} s of music, about {self.mb:.1f} MB, price {price}"
        return f"{plural(self.jobs, 'job')}, {sizes}{_capped(self.limits)}"


def _capped(limits: Limits) -> str:
    caps = []
    if limits.max_jobs_total is not None:
        caps.append(plural(limits.max_jobs_total, "job"))
    if limits.max_cost is not None:
        caps.append(f"a cost of {shown(limits.max_cost)}")
    return f" (and no more than {' and '.join(caps)} in all runs)" if caps else ""


# --- the manifest ---------------------------------------------------------------------------------


@contextmanager
def opened_manifest(name: str, form: Format | None) -> Iterator[Manifest]:
    """The manifest of this name, ``-`` for standard input.

    An ending that tells the format is believed: taken for text, a table whose header is misspelled
    would be paid for line by line.

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
            f"{name} is {kind} by its name, and its lines would be paid for as prompts: "
            "say what it is with --format, or name another file"
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


def _check(report: Report) -> None:
    if report.bad_rows:
        raise RequestError(f"{report}\nnothing was sent; correct them, then run again")
    if not report.rows:
        raise RequestError("the manifest holds no row; nothing was sent")


def _warn_of_unknown(voice: Output, names: tuple[str, ...]) -> None:
    """Fields that are not sent, and whose names are close to those of fields that are."""
    from difflib import get_close_matches

    near = {
        name: close[0]
        for name in names
        if (close := get_close_matches(name.casefold(), REQUEST_FIELDS, n=1, cutoff=0.8))
    }
    if near:
        told = [f"{safe_text(n, 40)} (did you mean {near[n]}?)" for n in [*near][:_MAX_NAMED]]
        voice.warn(
            f"not sent, only handed through to results.jsonl: {', '.join(told)}"
            + (" and more" if len(near) > _MAX_NAMED else "")
        )


# --- the plan -------------------------------------------------------------------------------------


def make_plan(directory: Path, manifest: Manifest | None, how: BatchOptions, voice: Output) -> Plan:
    """What a run would do in this directory, with these rows besides those that it holds.

    Raises:
        RequestError: rows of the manifest cannot be used, or are not what they were; all of
            them are named.
        LedgerError: the directory's ledger cannot be read.
    """
    plan = Plan(how.limits(directory))
    if not holds_batch(directory):
        if manifest is not None:
            plan.preview = _take_in(plan, manifest, None, how, voice)
        return plan
    with Reader.open(directory) as reader:
        if manifest is not None:
            plan.preview = _take_in(plan, manifest, reader, how, voice)
        plan.counts = reader.counts()
        if RowState.OUTPUT_LOST in how.retried:
            plan.looked_for = plan.counts[RowState.OUTPUT_LOST]
        again = how.retried - {RowState.OUTPUT_LOST}
        if manifest is None:
            again |= {RowState.PLANNED}
        else:
            plan.dropped = plan.counts[RowState.PLANNED] - plan.unsent
        for row in reader.each(again):
            plan.add(row.id, row.payload_hash, taken(json.loads(row.request))[0])
        paid_at = reader.meta().get(ORIGIN, "")
        if how.connection.sandbox and reader.is_paid_for() and not on_this_machine(paid_at):
            raise click.UsageError(
                f"{directory} holds a batch of {paid_at}, and files of a sandbox would be mixed "
                "with its own: name another directory"
            )
        if how.connection.sandbox and plan.underway:
            raise click.UsageError(
                f"{directory} holds jobs of an earlier sandbox or of the API, which the sandbox "
                "of this run does not know: name another directory"
            )
    return plan


def _take_in(
    plan: Plan, manifest: Manifest, reader: Reader | None, how: BatchOptions, voice: Output
) -> Preview:
    preview = Preview(how.template)
    rows = manifest.rows(preview.reading)
    report = check_manifest(_compared(plan, rows, reader, preview))
    _check(report)
    if plan.changed:
        named = ", ".join(safe_text(row_id, 40) for row_id in plan.changed[:_MAX_NAMED])
        raise RequestError(
            f"{plural(len(plan.changed), 'row')} not as planned before: {named}; nothing was "
            "sent: give changed rows new ids"
        )
    _warn_of_unknown(voice, report.unknown)
    preview.warn(voice)
    return preview


def _compared(
    plan: Plan, rows: Iterator[Row | BadRow], reader: Reader | None, preview: Preview
) -> Iterator[Row | BadRow]:
    """The same rows, each looked up in the ledger on its way."""
    last = 0 if reader is None else reader.last_seq()
    for row in rows:
        if isinstance(row, Row):
            known = None if reader is None else reader.planned_as(row.id)
            if known is None:
                plan.added += 1
                plan.add(row.id, row.payload_hash, row.request)
            else:
                _compare(plan, row, known[1] == row.payload_hash, known[2])
            preview.add(row, known[0] if known else last + plan.added)
        yield row


def _compare(plan: Plan, row: Row, is_same: bool, state: RowState) -> None:
    """A row of the manifest that the directory knows."""
    plan.kept += 1
    if state in UNSENT:
        plan.add(row.id, row.payload_hash, row.request)
        plan.unsent += state is RowState.PLANNED
        plan.restored += state is RowState.SKIPPED
        plan.replaced += not is_same
    elif not is_same:
        plan.changed.append(row.id)


def tell(plan: Plan, directory: Path, voice: Output) -> None:
    """Print a plan, as data."""
    if voice.json:
        voice.give_json(
            {
                "schema_version": 1,
                "event": "plan",
                "track_id": None,
                "directory": str(directory),
                "rows": plan.rows,
                "underway": plan.underway,
                "jobs": plan.jobs,
                "seconds": plan.seconds,
                "mb": round(plan.mb, 3),
                "cost": float(plan.cost) if plan.limits.priced else None,
                "dropped": plan.dropped,
                "replaced": plan.replaced,
                "manifest": plan.preview.as_json() if plan.preview else None,
            }
        )
        return
    done = plan.counts.get(RowState.DONE, 0)
    going = f"{plural(plan.rows, 'row')}, {done} done, {plan.underway} paid for and not done"
    voice.give(f"{going}, in {directory}")
    voice.give(str(plan))
    for line in plan.changes():
        voice.give(line)
    for line in plan.preview.lines() if plan.preview else ():
        voice.give(line)


def confirm(plan: Plan, how: BatchOptions) -> None:
    """Ask once before several jobs are paid for.

    Raises:
        click.UsageError: nobody can be asked.
        click.ClickException: the answer is no.
    """
    if plan.jobs < 2 or not how.connection.is_live or how.yes:
        return
    if how.no_input or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{plan}: say --yes to pay for several jobs without a question")
    if not click.confirm(f"{plan}. Go on?", err=True):
        raise click.ClickException(f"nothing was sent; {PROGRAM} batch --sandbox costs nothing")
