"""Show the progress of a batch: bars on a terminal, lines or JSON events elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field, frozen

from modelslab_async import RowState, Succeeded

from .._text import duration_text, safe_text, size_text
from .console import Console, operand
from .error_mapping import as_json
from .streams import Region
from .track_progress import told, warn_of
from .waiting import Waits
from .waiting import told as wait_told

if TYPE_CHECKING:
    from modelslab_async import JobEvent

    from ..batch import Batch, Outcome, Row

_S = RowState
_SHOWN = 8
_NO_FILE = (_S.FAILED, _S.REJECTED, _S.OUTPUT_LOST, _S.DETACHED, _S.ABANDONED)


@frozen
class ProgressLine:
    """A snapshot of a run: rows by state, and some of those in progress."""

    counts: Mapping[RowState, int]
    flying: list[Row]


async def look(outcomes: Batch) -> ProgressLine:
    """Take a snapshot."""
    flying = await outcomes.ledger.page((_S.SUBMITTED, _S.READY), limit=_SHOWN)
    return ProgressLine(outcomes.counts, flying)


@define
class Stats:
    """Totals of this run so far.

    Attributes:
        began: start of the run, on the monotonic clock, in seconds.
        ended: rows that ended, successfully or not.
        size: bytes downloaded.
        cost: what the directory's jobs cost, over all runs; ``None``: unknown.
    """

    began: float = field(factory=time.monotonic)
    ended: int = 0
    size: int = 0
    cost: float | None = None

    def left(self, rows: int) -> float | None:
        """Estimated seconds for so many rows; ``None`` while no row has ended."""
        elapsed = time.monotonic() - self.began
        return rows * elapsed / self.ended if self.ended else None

    def words(self, counts: Mapping[RowState, int]) -> str:
        """All totals in one line."""
        parts = [f"{counts[_S.DONE]} of {_wanted(counts)} done"]
        named = {
            "failed": sum(counts[state] for state in _NO_FILE),
            "unknown": counts[_S.AMBIGUOUS],
            "in queue": counts[_S.SUBMITTED] + counts[_S.SUBMITTING],
            "downloading": counts[_S.READY],
            "waiting": counts[_S.PLANNED],
        }
        parts += [f"{count} {words}" for words, count in named.items() if count]
        return ", ".join(parts) + self._pace(counts)

    def _pace(self, counts: Mapping[RowState, int]) -> str:
        open_rows = counts[_S.PLANNED] + counts[_S.SUBMITTED] + counts[_S.SUBMITTING]
        left = self.left(open_rows + counts[_S.READY])
        size = f"; {size_text(self.size)}"
        cost = "" if self.cost is None else f"; cost {self.cost:.4g}"
        if not left:
            return size + cost
        per_minute = 60 * self.ended / max(time.monotonic() - self.began, 0.001)
        return f"; {per_minute:.1f} per minute, about {duration_text(left)} left{size}{cost}"


def _wanted(counts: Mapping[RowState, int]) -> int:
    return sum(counts.values()) - counts[_S.SKIPPED]


class Reporter(Protocol):
    """Shows the progress of a batch."""

    interval: float
    stats: Stats
    waits: Waits

    def ended(self, row: Row, outcome: Outcome) -> None:
        """A row has ended."""

    def tick(self, seen: ProgressLine) -> None:
        """Called every `interval` seconds."""

    def close(self) -> None:
        """Called when the run has ended."""


def reporter_of(console: Console) -> Reporter:
    """The reporter for these options and this kind of stderr."""
    if console.json:
        return Events(console)
    return Bars(console) if console.animated else Lines(console)


def _name(row: Row) -> str:
    return f"row {row.seq}" + ("" if row.id == str(row.seq) else f" ({safe_text(row.id, 40)})")


def _tell(console: Console, row: Row, outcome: Outcome) -> None:
    """Paths go to stdout, errors to stderr."""
    if not isinstance(outcome, Succeeded):
        console.error(f"{_name(row)}: {outcome.error}")
        return
    for saved in outcome.saved:
        warn_of(console, saved)
        console.print(operand(saved.path))


def _counted(stats: Stats, outcome: Outcome) -> None:
    stats.ended += 1
    if isinstance(outcome, Succeeded):
        stats.size += sum(saved.size for saved in outcome.saved)


class Lines:
    """One line per row that ends, and a summary every ten seconds."""

    interval = 10.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""
        self.stats = Stats()
        self.waits = Waits(lambda event: console.info(wait_told(event)))

    def ended(self, row: Row, outcome: Outcome) -> None:
        """Say how."""
        _counted(self.stats, outcome)
        if isinstance(outcome, Succeeded):
            self._console.info(f"{_name(row)}: saved, {', '.join(map(told, outcome.saved))}")
        _tell(self._console, row, outcome)

    def tick(self, seen: ProgressLine) -> None:
        """Print the summary if it has changed."""
        state = f"{seen.counts}"
        if state != self._last:
            self._console.info(self.stats.words(seen.counts))
        self._last = state

    def close(self) -> None:
        """Nothing is open."""


class Events:
    """One JSON object per row that ends, and one with the totals every ten seconds."""

    interval = 10.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self.stats = Stats()
        self.waits = Waits(self._waiting)

    def ended(self, row: Row, outcome: Outcome) -> None:
        """Print the row with its file or its error."""
        _counted(self.stats, outcome)
        known = {"row": row.seq, "id": row.id, "job_id": row.job_id, "state": row.state.value}
        if isinstance(outcome, Succeeded):
            paths = [str(saved.path) for saved in outcome.saved]
            file = {"seconds": row.seconds, "size": row.size, "sha256": row.sha256}
            sound = {"flags": row.flags, "peak_dbfs": row.peak_dbfs}
            self._give("succeeded", row.track_id, **known, paths=paths, **file, **sound)
        else:
            self._give("failed", row.track_id, **known, **as_json(outcome.error))

    def tick(self, seen: ProgressLine) -> None:
        """Print the totals."""
        counts = {state.value: count for state, count in seen.counts.items()}
        self._give("progress", None, counts=counts, size=self.stats.size, cost=self.stats.cost)

    def close(self) -> None:
        """Nothing is open."""

    def _waiting(self, event: JobEvent) -> None:
        details = {"job_id": event.job_id or None, "reason": event.reason, "seconds": event.seconds}
        self._give("waiting", None if event.track_id is None else f"{event.track_id}", **details)

    def _give(self, event: str, track_id: str | None, **rest: Any) -> None:
        self._console.print_json(
            {"schema_version": 1, "event": event, "track_id": track_id, **rest}
        )


class Bars:
    """A bar for the batch and one for each of a few jobs; finished rows scroll up above them."""

    interval = 0.25

    def __init__(self, console: Console) -> None:
        self._console = console
        self.stats = Stats()
        self.waits = Waits(lambda event: None)
        self._region = Region()
        self._closed = False

    def ended(self, row: Row, outcome: Outcome) -> None:
        """Print the result; the bars show the rest."""
        _counted(self.stats, outcome)
        _tell(self._console, row, outcome)

    def tick(self, seen: ProgressLine) -> None:
        """Redraw the bars."""
        if self._closed:
            return
        from .bars import Line, shown

        done, total = seen.counts[_S.DONE], _wanted(seen.counts)
        whole = Line("all", done / max(total, 1), f"{done} of {total}")
        rows = [Line(*_drawn(row)) for row in seen.flying]
        words = "; ".join(filter(None, (self.stats.words(seen.counts), self.waits.words)))
        self._region.draw(
            shown(whole, words, rows, self._region.size, colored=self._console.colored)
        )

    def close(self) -> None:
        """Remove the bars."""
        self._closed = True
        self._region.close()


def _drawn(row: Row) -> tuple[str, float, str]:
    if row.state is _S.READY:
        return safe_text(row.prompt, 40), 1.0, "downloading"
    waited = time.time() - (row.accepted_at or row.updated_at)
    return safe_text(row.prompt, 40), 0.0, f"job {row.job_id}, {waited:.0f} s"
