"""``plan``: what a manifest asks for, and its rows; nothing is sent, and no directory is made."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelslab_async import RequestError

from .._text import plural, safe_text
from .batch_plan import opened_manifest, summary
from .batch_preview import preview_as_json, preview_lines, warn_of_comments
from .completing import files
from .console import Console
from .help import Choice, Command
from .options import output_options
from .piping import STDOUT
from .prices import (
    lines_by_endpoint,
    prices_of,
    pricing,
    total_as_json,
)
from .settings import Flags, read_settings

if TYPE_CHECKING:
    from ..batch import Format, Manifest, Plan

_MAX_NAMED = 5


@click.command(cls=Command, no_args_is_help=True)
@click.argument("manifest", metavar="FILE|-", shell_complete=files)
@click.option(
    "-o",
    "--output",
    metavar="FILE|-",
    shell_complete=files,
    help="Write the rows to this file as JSONL, which `batch` reads; - is standard output.",
)
@click.option(
    "--format",
    "form",
    type=Choice(["text", "jsonl", "csv", "toml"]),
    help="Format of FILE.  [default: by its name, or its first line]",
)
@pricing
@output_options
def plan(
    console: Console,
    manifest: str,
    output: str | None,
    form: Format | None,
    **prices: Any,
) -> int:
    """Show what the rows of FILE come to: jobs, seconds, size, price, and the first of them.

    \b
    Examples:
      modelslab-async plan album.toml --price-per-second 0.002
      modelslab-async plan album.toml -o rows.jsonl
      modelslab-async plan album.toml --json

    A TOML manifest makes a row of each combination of values: see `help manifest`.
    This checks all rows, and sends nothing. Rows that ask for the same as others,
    and are not takes of one row, are named. `batch --dry-run` shows what is left
    to do in a directory.
    """
    from ..batch import plan_batch

    limits = prices_of(read_settings(Flags(**prices)), max_cost=None)
    with opened_manifest(manifest, form) as rows:
        seen = plan_batch(None, rows, limits=limits)
        doubles = _doubles(rows)
        if output is not None:
            _write(rows, output)
    if seen.reading is not None:
        warn_of_comments(seen.reading, console)
    for first, other in doubles[:_MAX_NAMED]:
        names = f"{safe_text(first, 60)} and {safe_text(other, 60)}"
        console.warn(f"{names} ask for the same; if that is meant, takes says so")
    if len(doubles) > _MAX_NAMED:
        console.warn(f"and {len(doubles) - _MAX_NAMED} more")
    if output != STDOUT:
        _show(console, seen, doubles)
    return 0


def _doubles(rows: Manifest) -> list[tuple[str, str]]:
    """The ids of rows that ask for the same as an earlier one, each after that."""
    from ..batch import BadRow

    first: dict[str, str] = {}
    found = []
    for row in rows.rows():
        if isinstance(row, BadRow) or row.fields.get("take", 1) != 1:
            continue  # a clip may have gone since all were checked
        before = first.setdefault(row.payload_hash, row.id)
        found += [(before, row.id)] if before != row.id else []
    return found


def _lines(rows: Manifest) -> Iterator[str]:
    for row in rows.planned():
        yield json.dumps({"id": row.id, **row.request}, ensure_ascii=False) + "\n"


def _write(rows: Manifest, output: str) -> None:
    if output == STDOUT:
        for line in _lines(rows):
            sys.stdout.write(line)
        return
    try:
        with Path(output).open("x", encoding="utf-8") as file:
            file.writelines(_lines(rows))
    except FileExistsError:
        raise click.UsageError(f"{output} already exists; name another file") from None
    except OSError as error:
        raise RequestError(f"{output} cannot be written: {error.strerror}") from None


def _show(console: Console, seen: Plan, doubles: list[tuple[str, str]]) -> None:
    if console.json:
        document: dict[str, Any] = {
            "schema_version": 1,
            "rows": seen.rows,
            **total_as_json(seen.total, seen.price),
            "endpoints": {
                name: total_as_json(total, total.price) for name, total in seen.by_endpoint.items()
            },
            "manifest": preview_as_json(seen),
            "doubles": len(doubles),
        }
        console.print_json(document)
        return
    for line in preview_lines(seen):
        console.print(line)
    console.print(summary(seen))
    for line in lines_by_endpoint(seen):
        console.print(line)
    if doubles:
        console.print(f"{plural(len(doubles), 'row asks', 'rows ask')} for the same as another")
