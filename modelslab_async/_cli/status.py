"""``status``: what became of a batch's rows, what is stuck, and what to do about it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._text import duration_text, safe_text, size_text
from .error_mapping import NotThere
from .options import output_options
from .output import PROGRAM, Output, operand
from .resume import check_batch

if TYPE_CHECKING:
    from modelslab_async import RowState
    from modelslab_async.batch import Reader, Row, StateSummary

_AGAIN = "{program} resume {place}"
_FREE = f"{_AGAIN}{{unpaid}}"
_BRING = f"{_AGAIN} --retry missing{{unpaid}} downloads them again, free"
_ADVICE = {
    "planned": f"not sent yet: {_AGAIN}",
    "submitting": f"being sent now, or interrupted: {_AGAIN} finds out",
    "submitted": f"in the queue, perhaps since an earlier run: {_FREE} continues, free",
    "ready": f"finished and paid for, not downloaded yet: {_FREE} downloads them, free",
    "detached": f"no longer polled: {_FREE} polls again, free",
    "ambiguous": "may exist and be paid for: {program} reconcile {place}",
    "rejected": f"refused, not paid for: {_AGAIN} --retry rejected",
    "failed": f"the server reports failure: {_AGAIN} --retry failed pays for new jobs",
    "output_lost": f"paid for, but no link worked: {_AGAIN} --retry output_lost{{unpaid}}, free",
    "abandoned": "abandoned by the user",
    "skipped": "not sent, no longer in the manifest; add them again to generate them",
}


@click.command(no_args_is_help=True, short_help="Show the state of a batch's rows.")
@click.argument("directory", metavar="DIR")
@click.argument("row", metavar="[ROW]", required=False)
@output_options
def status(voice: Output, directory: str, row: str | None) -> int:
    """Show the state of the rows of the batch in DIR, or everything about one ROW.

    \b
    Examples:
      modelslab-async status music/
      modelslab-async status music/ 17
      modelslab-async status music/ --json

    \b
    A ROW is its own id, or its number. This changes nothing and opens no
    connection, and works beside a run. Exit code 8: files of done rows are
    missing, or their size has changed; `verify` reads their contents, too.
    """
    from modelslab_async.batch import Reader

    place = Path(directory)
    check_batch(place)
    with Reader.open(place) as reader:
        if row is None:
            return _overview(reader, place, voice)
        _history(reader, row_of(reader, row), voice)
    return 0


def row_of(reader: Reader, name: str) -> Row:
    """The row with this id, or else with this number.

    Raises:
        NotThere: there is none.
    """
    from modelslab_async import LedgerError

    keys: list[int | str] = [name, *([int(name)] if name.isdecimal() and len(name) < 19 else [])]
    for key in keys:
        try:
            return reader.row(key)
        except LedgerError:
            continue
    raise NotThere(f"the batch has no row {name!r}")


# --- all rows -------------------------------------------------------------------------------------


def _overview(reader: Reader, place: Path, voice: Output) -> int:
    from .file_check import quick_check, unpaid

    summary, check = reader.summary(), quick_check(place)
    words = {
        "program": PROGRAM,
        "place": shlex.quote(operand(place)),
        "unpaid": unpaid(summary),
    }
    advice = _BRING.format_map(words) if check.lost else ""
    total = sum(about.rows for about in summary.values())
    if voice.json:
        states = {state: _as_json(state, about, words) for state, about in summary.items()}
        files = {**check.as_json(), "advice": advice}
        voice.give_json({"schema_version": 1, "rows": total, "states": states, "files": files})
        return check.exit_code
    last = max((about.last_change for about in summary.values()), default=time.time())
    voice.give(f"{total} rows, last change {_age(last)} ago")
    for state, about in summary.items():
        voice.give(_line(state, about, words))
        for error in about.errors:
            example = f"row {error.first_row}: {safe_text(error.example, 300)}"
            voice.give(f"        {error.rows} {error.kind or 'without a kind'}, such as {example}")
    if check.kinds:
        voice.give("; ".join(filter(None, (check.words, advice))))
    return check.exit_code


def _as_json(state: RowState, about: StateSummary, words: Mapping[str, str]) -> dict[str, Any]:
    """One state for programs; ages are seconds."""
    now = time.time()
    return {
        "rows": about.rows,
        "oldest": now - about.first_change,
        "latest": now - about.last_change,
        "size": about.size,
        "seconds": about.seconds,
        "advice": _advice(state, words),
        "errors": [
            {"kind": e.kind, "rows": e.rows, "first_row": e.first_row, "example": e.example}
            for e in about.errors
        ],
    }


def _advice(state: RowState, words: Mapping[str, str]) -> str:
    return _ADVICE.get(state, "").format_map(words)


def _line(state: RowState, about: StateSummary, words: Mapping[str, str]) -> str:
    if state == "done":
        sizes = f"{duration_text(about.seconds or 0)} of music, {size_text(about.size or 0)}"
        return f"{about.rows:>7} {state:<12}{sizes}"
    age = _age(about.first_change)
    return f"{about.rows:>7} {state:<12}for up to {age}; {_advice(state, words)}"


def _age(at: float) -> str:
    """How long ago an instant is."""
    return duration_text(max(time.time() - at, 0.0))


# --- one row --------------------------------------------------------------------------------------


def _history(reader: Reader, row: Row, voice: Output) -> None:
    from attrs import asdict

    steps = [asdict(step) for step in reader.history(row.seq)]
    known = asdict(row)
    del known["handle"], known["request"]  # links that open a file, and what may be megabytes
    if voice.json:
        history = [
            {"at": s["at"], "old": s["old"], "new": s["new"], "note": s["note"]} for s in steps
        ]
        voice.give_json({"schema_version": 1, "row": known, "history": history})
        return
    for name, value in known.items():
        if value is not None:
            voice.give(f"{name} = {_value(name, value)}")
    for step in steps:
        note = f"  {safe_text(step['note'], 300)}" if step["note"] else ""
        voice.give(f"{instant(step['at'])}  {step['old']} -> {step['new']}{note}")


def _value(name: str, value: Any) -> str:
    return instant(value) if name.endswith("_at") else safe_text(f"{value}", 2048)


def instant(at: float) -> str:
    """Seconds since the epoch, as people read them."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
