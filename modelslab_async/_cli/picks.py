"""``picks``: what was kept and rejected while listening."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._text import plural, safe_text
from .completing import directories, files
from .console import Console
from .error_mapping import OK, SOME_FAILED, NotThere
from .help import Command
from .options import output_options
from .resume import check_batch

if TYPE_CHECKING:
    from ..batch import Decision, Decisions, Row


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@click.option(
    "--copy-kept",
    metavar="OUT",
    shell_complete=directories,
    help="Put the kept files in OUT, with an index.jsonl.",
)
@click.option(
    "--import",
    "imported",
    metavar="FILE",
    shell_complete=files,
    help="First add decisions that a page has saved as a file.",
)
@output_options
def picks(console: Console, directory: str, copy_kept: str | None, imported: str | None) -> int:
    """Show how many files of the batch in DIR were kept and rejected; print those kept.

    \b
    Examples:
      modelslab-async picks music/
      modelslab-async picks music/ --copy-kept best/
      modelslab-async picks music/ --import ~/Downloads/decisions.jsonl

    Paths of kept files go to stdout. Copies are hard links where that is possible:
    they take no space. `export` changes format and loudness, and adds marks. Exit
    code 8: a kept file is missing or changed.
    """
    from ..batch import Reader, RowState, Verdict, read_decisions

    place = Path(directory)
    check_batch(place)
    with Reader.open(place) as reader:
        rows = list(reader.each((RowState.DONE,)))
    if imported is not None:
        _import(place, Path(imported), rows, console)
    decisions = read_decisions(place)
    if decisions.unreadable:
        console.warn(f"{plural(decisions.unreadable, 'line')} of decisions.jsonl cannot be read")
    kept, rejected = _with(rows, decisions, Verdict.KEPT), _with(rows, decisions, Verdict.REJECTED)
    code = OK
    if copy_kept is not None:
        code = _copy(place, Path(copy_kept), kept, console)
    to_hear = len(rows) - len(kept) - len(rejected)
    if console.json:
        counts = {"kept": len(kept), "rejected": len(rejected), "to_hear": to_hear}
        found = [_about(row, decision) for row, decision in kept]
        console.print_json({"schema_version": 1, "counts": counts, "kept": found})
        return code
    if copy_kept is None:
        for row, _ in kept:
            console.print(str(place / (row.path or "")))
    console.info(f"{len(kept)} kept, {len(rejected)} rejected, {to_hear} to hear")
    return code


def _with(rows: list[Row], decisions: Decisions, verdict: str) -> list[tuple[Row, Decision]]:
    found = [(row, decisions.of(row)) for row in rows]
    return [(row, one) for row, one in found if one is not None and one.verdict == verdict]


def _about(row: Row, decision: Decision) -> dict[str, object]:
    return {
        "row": row.seq,
        "id": row.id,
        "path": row.path,
        "prompt": row.prompt,
        "sha256": row.sha256,
        "stars": decision.stars,
        "note": decision.note,
    }


def _import(place: Path, source: Path, rows: list[Row], console: Console) -> None:
    """Add the decisions of a file that are about files of this batch."""
    from ..batch import Decisions, write_decisions

    try:
        with source.open("rb") as file:
            given = Decisions(file)
    except OSError as error:
        raise NotThere(f"{source}: {error.strerror}") from None
    known = {(row.seq, row.sha256) for row in rows}
    ours = [one for one in given if (one.row, one.sha256) in known]
    if ours:
        write_decisions(place, ours)
    others = len(given) - len(ours)
    foreign = f"; {others} about other files left out" if others else ""
    bad = f"; {plural(given.unreadable, 'line')} cannot be read" if given.unreadable else ""
    console.info(f"{plural(len(ours), 'decision')} added{foreign}{bad}")


def _copy(place: Path, out: Path, kept: list[tuple[Row, Decision]], console: Console) -> int:
    import json

    from ..batch import StoredFile
    from ..batch._verify import fault_of

    code, lines = OK, []
    out.mkdir(parents=True, exist_ok=True)
    for row, decision in kept:
        stored = StoredFile(row.seq, row.id, row.path or "", row.size or 0, row.sha256 or "")
        fault = fault_of(place, stored, content=True)
        if fault is not None:
            console.warn(f"row {row.seq}: {safe_text(fault.path)} {fault.reason}; not copied")
            code = SOME_FAILED
            continue
        target = out / stored.path
        if not _is_there(target, stored.sha256):
            if target.is_symlink() or target.exists():
                console.warn(f"{target} is another file; not copied")
                code = SOME_FAILED
                continue
            part = out / f".{stored.path}.part"[-255:]
            part.unlink(missing_ok=True)
            try:
                os.link(place / stored.path, part)
            except OSError:
                shutil.copyfile(place / stored.path, part)
            part.replace(target)
        console.print(str(target))
        lines.append(json.dumps(_about(row, decision)) + "\n")
    part = out / ".index.jsonl.part"
    part.unlink(missing_ok=True)
    part.write_text("".join(lines))
    part.replace(out / "index.jsonl")
    return code


def _is_there(target: Path, sha256: str) -> bool:
    """Whether a copy of this content is in its place already."""
    import hashlib

    try:
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False
