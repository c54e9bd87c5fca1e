"""Say what a run of a batch would do, and what it would come to, before anything is sent.

Plain blocking code that reads only: a manifest, and the ledger of the directory if it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from decimal import Decimal
from difflib import get_close_matches
from functools import partial
from heapq import heappop, heappush
from pathlib import Path
from typing import BinaryIO, Final

from attrs import Factory, define, field, frozen

from .._engine.filesystem import UTF8_NAMES
from .._text import safe_text
from ..endpoints import Estimate, Request
from ..errors import RequestError
from ._account import ORIGIN
from ._chosen import Chosen, RowKey, choose
from ._confirmed import Selection
from ._fields import ROW_FIELDS
from ._intake import to_plan
from ._limits import Limits
from ._lines import BadRow
from ._manifest import Format, Reading, Report, check_manifest, read_manifest
from ._naming import DEFAULT_TEMPLATE, file_name
from ._records import NewRow, request_of
from ._rows import KnownRow, PlannedRow
from ._sqlite.reader import Reader, holds_batch
from ._states import UNSENT, RowState, settled
from ._totals import Total
from ._verify import verify_batch

_MAX_NAMED: Final = 20
_MAX_SHOWN: Final = 3
_MEANT: Final = ROW_FIELDS - {"id"}  # which too many other names are close to

_Job = tuple[str, Estimate, Decimal | None]
"""Its endpoint, what it should come to, and its cost; ``None``: that cannot be told."""


@frozen
class Manifest:
    """A manifest that can be read twice: to check it, and then to plan its rows."""

    file: BinaryIO
    format: Format | None
    folder: Path | None

    def rows(self, reading: Reading | None = None) -> Iterator[NewRow | BadRow]:
        """Its rows, from the start."""
        self.file.seek(0)
        return read_manifest(self.file, self.format, folder=self.folder, reading=reading)

    def planned(self, *, enterprise: bool = False) -> Iterator[PlannedRow]:
        """Its rows as the ledger takes them.

        Args:
            enterprise: rows that do not say go to enterprise twins, where there are any.

        Raises:
            RequestError: the file has changed since it was checked, and cannot be used now.
        """
        for row in self.rows():
            if isinstance(row, BadRow):
                raise RequestError(f"{row}; nothing was sent")
            yield to_plan(row, enterprise=enterprise)


@define
class Preview:
    """What a manifest was taken for.

    Attributes:
        reading: its format, and what in it is no row.
        rows: how many it has.
        first: names of the files of the first rows, and their prompts.
        misspelled: fields that are not sent, and the field whose name is close to each.
    """

    reading: Reading = Factory(Reading)
    rows: int = 0
    first: list[tuple[str, str]] = Factory(list)
    misspelled: dict[str, str] = Factory(dict)

    def add(self, row: NewRow, seq: int, name_of: Callable[..., str]) -> None:
        """One more row of the manifest, with its number in the batch."""
        self.rows += 1
        if len(self.first) < _MAX_SHOWN:
            request = row.request
            # The id of a job is not known yet, and neither is the format that the API will send.
            stem = name_of(seq, row.id, request.title, "job")
            name = f"{stem}.{getattr(request, 'output_format', None) or 'wav'}"
            self.first.append((name, safe_text(request.title, 60)))


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
        held: rows of the manifest that were skipped by hand, and stay so.
        corrected: those among them that the manifest has otherwise than the directory.
        only: the rows that may be submitted, ids told from numbers; ``None``: all.
        retried: ids of rows that would be tried again: those of the manifest, where there is one.
        looked_for: those among them whose lost files alone shall be looked for again.
        missing: done rows whose files shall be downloaded again, as far as their sizes tell.
        paid_at: origin of the API where rows of the directory were paid for; ``None``: none was.
        changed: ids of rows that it knows otherwise.
        preview: how the manifest was read.
        max_new_jobs: what the run may pay for; ``None``: as much as the limits let it.
        by_endpoint: what would be paid for anew, by the names of the endpoints.
        left: rows that would stay planned for another run, because of ``max_new_jobs`` or
            ``only``.
        selection: all rows that are to be paid for, in this run or another.
    """

    limits: Limits
    max_new_jobs: int | None = None
    counts: Mapping[RowState, int] = Factory(dict)
    added: int = 0
    kept: int = 0
    replaced: int = 0
    restored: int = 0
    unsent: int = 0
    dropped: int = 0
    held: int = 0
    corrected: int = 0
    only: Sequence[RowKey] | None = None
    retried: set[str] = field(factory=set)
    looked_for: int = 0
    missing: int = 0
    paid_at: str | None = None
    by_endpoint: dict[str, Total] = Factory(dict)
    left: int = 0
    changed: list[str] = field(factory=list)
    preview: Preview | None = None
    selection: Selection = field(factory=Selection)
    _again: frozenset[RowState] = frozenset()
    _chosen: Chosen | None = None
    _first: list[tuple[int, _Job]] = Factory(list)

    @property
    def total(self) -> Total:
        """What would be paid for anew."""
        return Total.of(self.by_endpoint.values())

    @property
    def jobs(self) -> int:
        """How many jobs would be paid for anew."""
        return sum(total.jobs for total in self.by_endpoint.values())

    @property
    def price(self) -> Decimal | None:
        """What all of it would cost; ``None``: that of one job or more cannot be told."""
        return self.total.price if self.limits.priced else None

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
        return bool(self.added or self.replaced or self.restored or self.dropped or self.corrected)

    @property
    def underway(self) -> int:
        """Rows that go on without being paid for again."""
        free = [state for state in RowState if not settled(state) and state is not RowState.PLANNED]
        return sum(self.counts.get(state, 0) for state in free) + self.looked_for + self.missing

    @property
    def unlisted(self) -> int:
        """Rows of the directory that the manifest does not hold."""
        return sum(self.counts.values()) - self.kept

    def chooses(self, seq: int, row_id: str) -> bool:
        """Whether the row may be submitted, as far as ``only`` goes."""
        return self._chosen is None or self._chosen.holds(seq, row_id)

    def add(self, seq: int, row_id: str, payload_hash: str, request: Request) -> None:
        """The job of one more row would be paid for, if not too many with a lower number are."""
        self.selection.add(row_id, payload_hash)
        if not self.chooses(seq, row_id):
            self.left += 1
            return
        job = request.NAME, request.estimate(), self.limits.price_of(request)
        self._count(job, 1)
        if self.max_new_jobs is None:
            return
        heappush(self._first, (-seq, job))
        if len(self._first) > self.max_new_jobs:
            self._count(heappop(self._first)[1], -1)
            self.left += 1

    def _count(self, job: _Job, jobs: int) -> None:
        endpoint, estimate, cost = job
        total = self.by_endpoint.setdefault(endpoint, Total())
        total.add(estimate, cost, jobs)
        if not total.jobs:
            del self.by_endpoint[endpoint]


def plan_batch(
    directory: Path,
    manifest: Manifest | None = None,
    *,
    limits: Limits | None = None,
    max_new_jobs: int | None = None,
    only: Iterable[RowKey] | None = None,
    retry: Iterable[RowState] = (),
    retry_missing: bool = False,
    template: str | None = None,
    restrict_filenames: bool = False,
) -> Plan:
    """What a run would do in a directory, with the rows of a manifest besides those that it holds.

    Args:
        directory: of the batch; it need not exist.
        manifest: its rows; ``None``: the directory's own, as a resumed run takes them.
        limits: what may be paid for.
        max_new_jobs: what the run may pay for; ``None``: as much as the limits let it.
        only: the rows that may be submitted, by number, range or id; a text that is no id counts
            as a number (``17``) or a range (``3-9``). ``None``: all.
        retry: states of rows that the run would try again; with a manifest, of its rows alone.
        retry_missing: the run would download missing and changed files again. It reads them all;
            here only their sizes are compared.
        template: how files would be named.
        restrict_filenames: without letters of other scripts than ASCII's.

    Raises:
        RequestError: rows of the manifest cannot be used, or are not what they were; all of
            them are named. Or ``only`` names a row that is not there.
        LedgerError: the directory's ledger cannot be read.
    """
    again = frozenset(retry)
    plan = Plan(limits or Limits(), max_new_jobs, again=again)
    ascii_only = restrict_filenames or not UTF8_NAMES
    name_of = partial(file_name, template or DEFAULT_TEMPLATE, ascii_only=ascii_only)
    with Reader.open(directory) if holds_batch(directory) else nullcontext() as reader:
        _choose(plan, only, _numbered(manifest, reader))
        if manifest is not None:
            plan.preview = _take_in(plan, manifest, reader, name_of)
        if reader is not None:
            _count(plan, reader, is_whole=manifest is not None)
    if retry_missing and plan.counts:
        plan.missing = sum(fault.kind.is_lost for fault in verify_batch(directory))
    return plan


def _count(plan: Plan, reader: Reader, *, is_whole: bool) -> None:
    """What the directory holds.

    Args:
        is_whole: a manifest has said already which of the rows are to be sent or tried again.
    """
    plan.counts = reader.counts()
    plan.paid_at = reader.meta().get(ORIGIN, "") if reader.is_paid_for() else None
    if is_whole:
        plan.dropped = plan.counts[RowState.PLANNED] - plan.unsent
    for row in reader.each(plan._again if is_whole else plan._again | {RowState.PLANNED}):
        if row.state in plan._again:
            if is_whole and row.id not in plan.retried:
                continue
            if not plan.chooses(row.seq, row.id):
                continue
            plan.retried.add(row.id)
        if row.state is RowState.OUTPUT_LOST:
            plan.looked_for += 1
        else:
            plan.add(row.seq, row.id, row.payload_hash, request_of(row))


def _choose(plan: Plan, only: Iterable[RowKey] | None, rows: Iterable[tuple[int, str]]) -> None:
    if only is not None:
        plan.only = choose(only, rows)
        plan._chosen = Chosen(plan.only)


def _numbered(manifest: Manifest | None, reader: Reader | None) -> Iterator[tuple[int, str]]:
    """Numbers and ids of the rows that the directory holds, and of those that it will hold."""
    seq = 0
    for seq, row_id in reader.ids() if reader else ():
        yield seq, row_id
    for row in manifest.rows() if manifest else ():
        if isinstance(row, NewRow) and (reader is None or reader.planned_as(row.id) is None):
            seq += 1
            yield seq, row.id


def _take_in(
    plan: Plan, manifest: Manifest, reader: Reader | None, name_of: Callable[..., str]
) -> Preview:
    preview = Preview()
    rows = manifest.rows(preview.reading)
    report = check_manifest(_compared(plan, rows, reader, preview, name_of))
    _check(report)
    if plan.changed:
        named = ", ".join(safe_text(row_id, 40) for row_id in plan.changed[:_MAX_NAMED])
        many = "1 row" if len(plan.changed) == 1 else f"{len(plan.changed)} rows"
        raise RequestError(
            f"{many} not as planned before: {named}; nothing was sent: give changed rows new ids"
        )
    preview.misspelled = {
        name: close[0]
        for name in report.unknown
        if (close := get_close_matches(name.casefold(), _MEANT, n=1, cutoff=0.8))
    }
    return preview


def _check(report: Report) -> None:
    if report.bad_rows:
        raise RequestError(f"{report}\nnothing was sent; correct them, then run again")
    if not report.rows:
        raise RequestError("the manifest holds no row; nothing was sent")


def _compared(
    plan: Plan,
    rows: Iterator[NewRow | BadRow],
    reader: Reader | None,
    preview: Preview,
    name_of: Callable[..., str],
) -> Iterator[NewRow | BadRow]:
    """The same rows, each looked up in the ledger on its way."""
    last = 0 if reader is None else reader.last_seq()
    for row in rows:
        if isinstance(row, NewRow):
            known = None if reader is None else reader.planned_as(row.id)
            seq = known.seq if known else last + plan.added + 1
            if known is None:
                plan.added += 1
                plan.add(seq, row.id, row.payload_hash, row.request)
            else:
                _compare(plan, row, known)
            preview.add(row, seq, name_of)
        yield row


def _compare(plan: Plan, row: NewRow, known: KnownRow) -> None:
    """A row of the manifest that the directory knows."""
    plan.kept += 1
    is_same = known.payload_hash == row.payload_hash
    if known.is_held:
        plan.held += 1
        plan.corrected += not is_same
    elif known.state in UNSENT:
        plan.add(known.seq, row.id, row.payload_hash, row.request)
        plan.unsent += known.state is RowState.PLANNED
        plan.restored += known.state is RowState.SKIPPED
        plan.replaced += not is_same
    elif not is_same:
        plan.changed.append(row.id)
    elif known.state in plan._again and plan.chooses(known.seq, row.id):
        plan.retried.add(row.id)
