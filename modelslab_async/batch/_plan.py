"""Say what a run of a batch would do and cost, before anything is sent.

Blocking. It only reads: a manifest, and the directory's ledger if there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from decimal import Decimal
from functools import partial
from heapq import heappop, heappush
from itertools import chain
from pathlib import Path
from typing import Final

from attrs import Factory, define, field

from .._engine.filesystem import UTF8_NAMES
from .._protocol.output import ENDINGS
from .._text import plural, safe_text
from ..endpoints import Estimate, Request
from ..endpoints.base import routed
from ..errors import RequestError
from ._chosen import Chosen, RowKey, choose, numbered
from ._columns import check_names, columns_of, kept_template, stem_of
from ._confirmed import Selection
from ._limits import Limits
from ._lines import BadRow
from ._manifest import Manifest, Reading
from ._naming import DEFAULT_TEMPLATE, ID_TEMPLATE, columns_in, file_name
from ._records import NewRow, request_of
from ._rows import KnownRow, Row, checked_flags, is_relabelled
from ._sqlite.reader import ORIGIN, Reader, holds_batch
from ._states import UNSENT, RowState, settled
from ._totals import Total
from ._verify import verify_batch

_MAX_NAMED: Final = 20
_MAX_SHOWN: Final = 3

_Job = tuple[str, Estimate, Decimal | None]
"""Its endpoint, its estimate, and its cost; ``None``: not known."""


@define
class Plan:
    """What a run would do.

    Attributes:
        limits: what may be paid for.
        counts: rows of the directory by state, before the run.
        added: rows of the manifest that are not in the directory.
        kept: rows of the manifest that are in the directory.
        restored: rows of the manifest that an earlier version of it did not hold.
        replaced: rows of the manifest that were planned differently and not sent.
        unsent: rows of the manifest that are planned in the directory, and not sent.
        dropped: rows of the directory that were not sent, and are not in the manifest.
        held: rows of the manifest that were skipped by hand, and stay skipped.
        corrected: those of them that the manifest has changed.
        relabelled: rows that were not sent, and have other fields that are only copied through.
        only: the rows that may be submitted, as ids and ranges; ``None``: all.
        retried: ids of the rows to retry; with a manifest, of its rows only.
        looked_for: those of them whose lost files are downloaded again, without a new job.
        missing: done rows whose files are downloaded again, judged by their sizes.
        paid_at: origin of the API to which the directory's jobs were sent; ``None``: none were.
        changed: ids of rows of the manifest that were sent differently.
        reading: how the manifest was read; ``None``: there is none.
        first: the file names and prompts of its first rows.
        max_new_jobs: the most jobs that the run may submit; ``None``: no limit.
        by_endpoint: what would be paid for in this run, by endpoint name.
        left: rows that stay planned for another run, because of ``max_new_jobs`` or ``only``.
        selection: all rows that are to be paid for, in this run or another.
        template: how files are named.
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
    relabelled: int = 0
    only: Sequence[RowKey] | None = None
    retried: set[str] = field(factory=set)
    looked_for: int = 0
    missing: int = 0
    paid_at: str | None = None
    by_endpoint: dict[str, Total] = Factory(dict)
    left: int = 0
    changed: list[str] = field(factory=list)
    reading: Reading | None = None
    first: list[tuple[str, str]] = Factory(list)
    selection: Selection = field(factory=Selection)
    template: str = DEFAULT_TEMPLATE
    _again: frozenset[RowState] = frozenset()
    _flags: frozenset[str] = frozenset()
    _chosen: Chosen | None = None
    _counted: list[tuple[int, _Job]] = Factory(list)

    @property
    def total(self) -> Total:
        """What the run would pay for."""
        return Total.of(self.by_endpoint.values())

    @property
    def jobs(self) -> int:
        """The number of jobs that the run would pay for."""
        return sum(total.jobs for total in self.by_endpoint.values())

    @property
    def price(self) -> Decimal | None:
        """The cost of all of them; ``None`` if that of any is not known."""
        return self.total.price if self.limits.priced else None

    @property
    def rows(self) -> int:
        """The number of rows that the directory will have."""
        return sum(self.counts.values()) + self.added - self.dropped - self.skipped

    @property
    def skipped(self) -> int:
        """Rows that an earlier run skipped, and this one skips again."""
        return self.counts.get(RowState.SKIPPED, 0) - self.restored

    @property
    def alters(self) -> bool:
        """Whether the manifest changes the rows of the ledger."""
        rows = (self.added, self.replaced, self.restored, self.dropped, self.corrected)
        return any((*rows, self.relabelled))

    @property
    def underway(self) -> int:
        """Rows that continue without a new payment."""
        free = [state for state in RowState if not settled(state) and state is not RowState.PLANNED]
        return sum(self.counts.get(state, 0) for state in free) + self.looked_for + self.missing

    @property
    def unlisted(self) -> int:
        """Rows of the directory that the manifest does not hold."""
        return sum(self.counts.values()) - self.kept

    def chooses(self, seq: int, row_id: str) -> bool:
        """Whether ``only`` allows the row to be submitted."""
        return self._chosen is None or self._chosen.holds(seq, row_id)

    def retries(self, row: KnownRow) -> bool:
        """Whether a row that was sent is tried again."""
        is_flagged = row.state is RowState.DONE and not self._flags.isdisjoint(row.flags)
        return row.state in self._again or is_flagged

    def add(self, seq: int, row_id: str, payload_hash: str, request: Request) -> None:
        """Count one more row to pay for; beyond ``max_new_jobs``, rows with lower numbers win."""
        self.selection.add(row_id, payload_hash, bool(request.enterprise))
        if not self.chooses(seq, row_id):
            self.left += 1
            return
        estimate = request.estimate()
        job = request.NAME, estimate, self.limits.cost_of(request.NAME, estimate)
        self._count(job, 1)
        if self.max_new_jobs is None:
            return
        heappush(self._counted, (-seq, job))
        if len(self._counted) > self.max_new_jobs:
            self._count(heappop(self._counted)[1], -1)
            self.left += 1

    def _count(self, job: _Job, jobs: int) -> None:
        endpoint, estimate, cost = job
        total = self.by_endpoint.setdefault(endpoint, Total())
        total.add(estimate, cost, jobs)
        if not total.jobs:
            del self.by_endpoint[endpoint]


def plan_batch(
    directory: Path | None,
    manifest: Manifest | None = None,
    *,
    limits: Limits | None = None,
    max_new_jobs: int | None = None,
    only: Iterable[RowKey] | None = None,
    retry: Iterable[RowState] = (),
    retry_flagged: Iterable[str] = (),
    retry_missing: bool = False,
    template: str | None = None,
    restrict_filenames: bool = False,
    enterprise: bool = False,
) -> Plan:
    """What a run would do in a directory, with the rows that it holds and those of a manifest.

    Args:
        directory: of the batch; it need not exist. ``None``: a new one.
        manifest: the rows to add; ``None``: only those in the directory, as for a resumed run.
        limits: what may be paid for.
        max_new_jobs: the most jobs that the run may submit; ``None``: no limit.
        only: the rows that may be submitted, by number, range or id; text that is not an id is
            read as a number (``17``) or a range (``3-9``). ``None``: all.
        retry: states of the rows to retry; with a manifest, of its rows only.
        retry_flagged: flags of done rows that get a new job, likewise.
        retry_missing: download missing and changed files again. A run reads all files; this
            compares only their sizes.
        template: how files are named; ``None``: as the rows in the directory, or if it holds none
            ``{id}`` for a manifest each of whose rows has its own id, else ``{seq:05d}-{slug}``.
        restrict_filenames: name them in ASCII.
        enterprise: as that of the `ModelsLab` that will run it.

    Raises:
        RequestError: rows of the manifest cannot be used, or were sent differently; all of them
            are named. Or ``only`` names a row that does not exist.
        ConfigurationError: the template cannot be used, or names a column that a row does not have.
        LedgerError: the directory's ledger cannot be read.
    """
    flags = checked_flags(retry_flagged)
    plan = Plan(limits or Limits(), max_new_jobs, again=frozenset(retry), flags=flags)
    is_known = directory is not None and holds_batch(directory)
    with Reader.open(directory) if directory and is_known else nullcontext() as reader:
        template = template or (kept_template(reader) if reader else None)
        plan.template = template or DEFAULT_TEMPLATE
        if only is not None:
            plan.only = choose(only, numbered(manifest.rows() if manifest else (), reader))
            plan._chosen = Chosen(plan.only)
        if manifest is not None:
            names = _Names(template, ascii_only=restrict_filenames or not UTF8_NAMES)
            _compare(plan, manifest, reader, names, enterprise=enterprise)
        if reader is not None:
            _count(plan, reader, is_whole=manifest is not None)
            states = {state for state in RowState if not settled(state)} | plan._again
            left_out = {RowState.PLANNED} if manifest is not None else set()
            check_names(reader, plan.template, states - left_out)
    if directory and retry_missing and plan.counts:
        plan.missing = sum(fault.kind.is_lost for fault in verify_batch(directory))
    return plan


def _compare(
    plan: Plan,
    manifest: Manifest,
    reader: Reader | None,
    names: _Names,
    *,
    enterprise: bool,
) -> None:
    """Look up each row of a manifest in the ledger, as `Store.plan` will, and count it."""
    reading = plan.reading = Reading()
    last = 0 if reader is None else reader.last_seq()
    for row in manifest.rows(reading):
        if isinstance(row, BadRow):
            continue
        known = None if reader is None else reader.planned_as(row.id)
        seq = last + plan.added + 1 if known is None else known.seq
        is_sent = known is not None and known.state not in UNSENT
        is_kept = is_sent and known is not None and known.payload_hash == row.payload_hash
        names.add(row, seq, reader if is_kept else None)
        if known is None:
            plan.added += 1
            request = routed(row.request, enterprise=enterprise)
            plan.add(seq, row.id, row.payload_hash, request)
        else:
            _add_known(plan, row, known, reader, enterprise=enterprise)
    if reading.bad_rows:
        raise RequestError(f"{reading.faults()}\nnothing was sent; correct them, then run again")
    if not reading.rows:
        raise RequestError("the manifest holds no row; nothing was sent")
    if plan.changed:
        named = ", ".join(safe_text(row_id, 40) for row_id in plan.changed[:_MAX_NAMED])
        raise RequestError(
            f"{plural(len(plan.changed), 'row')} not as planned before: {named}; nothing was sent: "
            "give changed rows new ids"
        )
    if names.template is None and reading.own_ids == reading.rows:
        plan.template = ID_TEMPLATE
    plan.first = names.shown(plan.template)


class _Names:
    """Checks that all rows of a manifest can be named, and names the first.

    Args:
        template: of the names; ``None``: the default, which names no column.
        ascii_only: name them in ASCII.
    """

    def __init__(self, template: str | None, *, ascii_only: bool) -> None:
        self.template = template
        self._has_columns = template is not None and bool(columns_in(template))
        self._ascii_only = ascii_only
        self._first: list[tuple[NewRow, int, Row | None, dict[str, str]]] = []

    def add(self, row: NewRow, seq: int, reader: Reader | None) -> None:
        """Add the next row.

        Args:
            row: of the manifest.
            seq: its number in the batch.
            reader: of the ledger, if that keeps the row as it was planned.

        Raises:
            ConfigurationError: it does not have a column that the template names.
        """
        is_shown = len(self._first) < _MAX_SHOWN
        kept = reader.row(seq) if reader and (is_shown or self._has_columns) else None
        columns: dict[str, str] = {}
        if self.template is None:
            pass
        elif kept is None:
            where = f"the row in line {row.line}" if row.line else f"row {seq}"
            columns = columns_of(self.template, row.request, row.fields, where)
        elif kept.state in UNSENT:
            stem_of(kept, self.template, ascii_only=True)
        if is_shown:
            self._first.append((row, seq, kept, columns))

    def shown(self, template: str) -> list[tuple[str, str]]:
        """File names and prompts of the first rows."""
        return [
            (self._name(template, *one), safe_text(one[0].request.title, 60)) for one in self._first
        ]

    def _name(
        self, template: str, row: NewRow, seq: int, kept: Row | None, columns: dict[str, str]
    ) -> str:
        if kept is not None and kept.path is not None:
            return kept.path
        request = row.request
        # The id of a job is not known yet, and neither is the format that the API will send.
        if kept is not None:
            stem = stem_of(kept, template, "job", ascii_only=self._ascii_only)
        else:
            named = partial(file_name, columns=columns, ascii_only=self._ascii_only)
            stem = named(template, seq, row.id, request.title, "job")
        chosen = getattr(request, "output_format", None)
        return f"{stem}.{chosen}" if chosen else f"{stem}{ENDINGS[request.gives][0]}"


def _add_known(
    plan: Plan, row: NewRow, known: KnownRow, reader: Reader | None, *, enterprise: bool
) -> None:
    plan.kept += 1
    is_same = known.payload_hash == row.payload_hash
    if known.is_held:
        plan.held += 1
        plan.corrected += not is_same
    elif known.state in UNSENT:
        # A row that has not changed stays as it was planned.
        to_twin = known.enterprise if is_same else enterprise
        request = routed(row.request, enterprise=to_twin)
        plan.add(known.seq, row.id, row.payload_hash, request)
        plan.unsent += known.state is RowState.PLANNED
        plan.restored += known.state is RowState.SKIPPED
        plan.replaced += not is_same
        if reader is not None:
            plan.relabelled += is_relabelled(reader.row(known.seq).request, row.fields)
    elif not is_same:
        plan.changed.append(row.id)
    elif plan.retries(known) and plan.chooses(known.seq, row.id):
        plan.retried.add(row.id)


def _count(plan: Plan, reader: Reader, *, is_whole: bool) -> None:
    """Count what the directory holds.

    Args:
        is_whole: a manifest has decided already which rows are sent or retried.
    """
    plan.counts = reader.counts()
    plan.paid_at = reader.meta().get(ORIGIN, "") if reader.is_paid_for() else None
    if is_whole:
        plan.dropped = plan.counts[RowState.PLANNED] - plan.unsent
    states = plan._again if is_whole else plan._again | {RowState.PLANNED}
    for row in chain(reader.each(states), reader.flagged(plan._flags)):
        if row.state is not RowState.PLANNED:
            if is_whole and row.id not in plan.retried:
                continue
            if not plan.chooses(row.seq, row.id):
                continue
            plan.retried.add(row.id)
        if row.state is RowState.OUTPUT_LOST:
            plan.looked_for += 1
        else:
            plan.add(row.seq, row.id, row.payload_hash, request_of(row))
