"""``status``: the state of a batch's rows, and what to do about those that are stuck."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from .._text import duration_text, plural, safe_text, size_text
from .completing import directories, rows
from .console import INVOCATION, Console, operand
from .error_mapping import NotThere
from .help import Command
from .options import output_options
from .resume import check_batch
from .streams import Region

if TYPE_CHECKING:
    from modelslab_async import RowState
    from modelslab_async.batch import Reader, Row, Runner, SoundSummary, StateSummary

    from .file_check import FileCheck

_BRING = "{program} resume {place} --retry missing{unpaid} downloads them again, free"
_WATCH = 2.0
_WATCH_ELSEWHERE = 10.0
"""Seconds between two snapshots, on a terminal and elsewhere."""


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@click.argument("row", metavar="[ROW]", required=False, shell_complete=rows)
@click.option("--watch", is_flag=True, help="Show it again and again while a run works on it.")
@output_options
def status(console: Console, directory: str, row: str | None, watch: bool) -> int:
    """Show the state of the rows of the batch in DIR, or everything about one ROW.

    \b
    Examples:
      modelslab-async status music/
      modelslab-async status music/ 17
      modelslab-async status music/ --watch
      modelslab-async status music/ --json

    A ROW is its own id, or its number. This changes nothing and opens no
    connection, and works beside a run, whose pace it shows. Exit code 8: files of done rows are
    missing, or their size has changed; `verify` reads their contents, too.
    """
    from modelslab_async.batch import Reader

    place = Path(directory)
    check_batch(place)
    if row is None:
        return watched(place, console) if watch else _show(overview_of(place), console)
    if watch:
        raise click.UsageError("--watch shows all rows: leave ROW out")
    with Reader.open(place) as reader:
        _history(reader, row_of(reader, row), console)
    return 0


def row_of(reader: Reader, name: str) -> Row:
    """The row with this id, or else with this number.

    Raises:
        NotThere: there is none.
    """
    from modelslab_async import LedgerError, RequestError

    from ..batch import choose

    keys: list[int | str] = [name, *([int(name)] if name.isdecimal() and len(name) < 19 else [])]
    for key in keys:
        try:
            return reader.row(key)
        except LedgerError:
            continue
    try:
        choose([name], reader.ids())  # which names the nearest id
    except RequestError as error:
        raise NotThere(str(error)) from None
    raise NotThere(f"{name} is several rows; name one")


# --- all rows -------------------------------------------------------------------------------------


@frozen
class Overview:
    """A snapshot of the ledger and of the files beside it.

    Attributes:
        runner: the process that is running the batch; ``None``: none is.
        rate: rows per second that ended lately; ``None``: unknown.
        left: rows that have not ended.
        words: for the advice: the command, the directory, and what keeps a run from paying.
    """

    summary: dict[RowState, StateSummary]
    sound: SoundSummary
    check: FileCheck
    runner: Runner | None
    rate: float | None
    left: int
    words: Mapping[str, str]

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(about.rows for about in self.summary.values())

    @property
    def seconds_left(self) -> float | None:
        """Until all rows have ended, at this rate."""
        return self.left / self.rate if self.rate else None

    def advice(self, state: RowState) -> str:
        """What to do about rows in a state; nothing while somebody works on them."""
        from ..batch._advice import ADVICE

        return "" if self.runner or state not in ADVICE else ADVICE[state].text(self.words)

    @property
    def advice_on_files(self) -> str:
        """What to do about files that are missing or changed."""
        return _BRING.format_map(self.words) if self.check.lost and not self.runner else ""

    def lines(self) -> list[str]:
        """For people."""
        last = max((about.last_change for about in self.summary.values()), default=time.time())
        lines = [f"{self.rows} rows, last change {_age(last)} ago"]
        if self.runner is not None:
            lines.append(f"pid {self.runner.pid or 'unknown'} works on it{self._pace}")
        for state, about in self.summary.items():
            lines.append(_line(state, about, self.advice(state)))
            for error in about.errors:
                example = f"row {error.first_row}: {safe_text(error.example, 300)}"
                kind = error.kind or "of no known kind"
                lines.append(f"        {error.rows} {kind}, such as {example}")
        if words := sound_words(self.sound):
            lines.append("; ".join(filter(None, (words, self._advice_on_sound))))
        if self.check.kinds:
            lines.append("; ".join(filter(None, (self.check.words, self.advice_on_files))))
        return lines

    @property
    def _advice_on_sound(self) -> str:
        if self.runner or not self.sound.flagged:
            return ""
        again = "{program} resume {place} --retry flagged=".format_map(self.words)
        return f"listen to them; {again}{','.join(self.sound.flags)} pays for new ones"

    @property
    def _pace(self) -> str:
        if not self.rate or self.seconds_left is None:
            return ""
        left = duration_text(self.seconds_left)
        return f": {60 * self.rate:.1f} rows per minute, about {left} left"

    def as_json(self) -> dict[str, Any]:
        """For programs; times are seconds."""
        running = None
        if self.runner is not None:
            per_minute = None if self.rate is None else 60 * self.rate
            running = {
                "pid": self.runner.pid,
                "host": self.runner.host,
                "rows_per_minute": per_minute,
                "seconds_left": self.seconds_left,
            }
        states = {
            state: _as_json(about, self.advice(state)) for state, about in self.summary.items()
        }
        faults = {**self.check.as_json(), "advice": self.advice_on_files}
        return {
            "schema_version": 1,
            "rows": self.rows,
            "running": running,
            "states": states,
            "sound": {
                "flagged": self.sound.flagged,
                "unchecked": self.sound.unchecked,
                "counts": dict(self.sound.flags),
            },
            "faults": faults,
        }


def overview_of(place: Path) -> Overview:
    """Look at a batch as it is now."""
    from modelslab_async.batch import Reader, runner_of, settled

    from ..batch._advice import unpaid
    from .file_check import quick_check

    with Reader.open(place) as reader:
        summary, rate, sound = reader.summary(), reader.rate(), reader.sounds()
    words = {
        "program": INVOCATION,
        "place": shlex.quote(operand(place)),
        "unpaid": unpaid(summary),
    }
    left = sum(about.rows for state, about in summary.items() if not settled(state))
    return Overview(summary, sound, quick_check(place), runner_of(place), rate, left, words)


def _show(seen: Overview, console: Console) -> int:
    if console.json:
        console.print_json(seen.as_json())
    else:
        for line in seen.lines():
            console.print(line)
    return seen.check.exit_code


def watched(place: Path, console: Console) -> int:
    """Show a running batch until it ends: in place on a terminal, as a series elsewhere."""
    from rich.cells import set_cell_size

    region = Region() if console.animated else None
    try:
        while (seen := overview_of(place)).runner is not None:
            if region is None:
                _show(seen, console)
            else:
                columns, most = region.size
                region.draw([set_cell_size(line, columns).rstrip() for line in seen.lines()][:most])
            time.sleep(_WATCH if region else _WATCH_ELSEWHERE)
    finally:
        if region is not None:
            region.close()
    return _show(seen, console)


def _as_json(about: StateSummary, advice: str) -> dict[str, Any]:
    """One state for programs; ages are seconds."""
    now = time.time()
    return {
        "rows": about.rows,
        "oldest": now - about.first_change,
        "latest": now - about.last_change,
        "size": about.size,
        "seconds": about.seconds,
        "advice": advice,
        "errors": [
            {"kind": e.kind, "rows": e.rows, "first_row": e.first_row, "example": e.example}
            for e in about.errors
        ],
    }


def _line(state: RowState, about: StateSummary, advice: str) -> str:
    if state == "done":
        audio = f"{duration_text(about.seconds)} of audio, " if about.seconds else ""
        sizes = f"{audio}{size_text(about.size or 0)}"
        return f"{about.rows:>7} {state:<12}{sizes}"
    age = _age(about.first_change)
    return f"{about.rows:>7} {state:<12}" + "; ".join(filter(None, (f"for up to {age}", advice)))


def sound_words(sound: SoundSummary) -> str:
    """How many files have flags, or could not be checked; empty if there are none."""
    flags = ", ".join(f"{name} {rows}" for name, rows in sound.flags.items())
    flagged = f"{sound.flagged} flagged: {flags}" if sound.flagged else ""
    # WAV files are not checked only by older versions; others would have to be decoded.
    unchecked = f"{plural(sound.unchecked, 'file')} not checked" if sound.unchecked else ""
    return "; ".join(filter(None, (flagged, unchecked)))


def _age(at: float) -> str:
    """How long ago an instant is."""
    return duration_text(max(time.time() - at, 0.0))


# --- one row --------------------------------------------------------------------------------------


def _history(reader: Reader, row: Row, console: Console) -> None:
    from attrs import asdict

    steps = [asdict(step) for step in reader.history(row.seq)]
    known = asdict(row)
    # Links that open a file, what may be megabytes, and what tells people nothing.
    for name in ("handle", "request", "peaks", "sound_sha256"):
        del known[name]
    if console.json:
        history = [
            {"at": s["at"], "old": s["old"], "new": s["new"], "note": s["note"]} for s in steps
        ]
        details = {"row": known.pop("seq"), "reason": known.pop("error"), **known}
        details["cost"] = None if row.cost is None else float(row.cost)
        console.print_json({"schema_version": 1, "details": details, "history": history})
        return
    for name, value in known.items():
        if value is not None:
            console.print(f"{name} = {_value(name, value)}")
    for step in steps:
        note = f"  {safe_text(step['note'], 300)}" if step["note"] else ""
        console.print(f"{instant(step['at'])}  {step['old']} -> {step['new']}{note}")


def _value(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return instant(value) if name.endswith("_at") else safe_text(f"{value}", 2048)


def instant(at: float) -> str:
    """Seconds since the epoch, as people read them."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
