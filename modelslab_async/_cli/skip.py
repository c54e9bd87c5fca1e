"""``skip``: leave out rows of a batch that were not sent yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._text import plural, safe_text
from .completing import directories
from .completing import rows as row_names
from .console import Console
from .help import Command
from .options import output_options
from .resume import check_batch

if TYPE_CHECKING:
    from ..batch import Row


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@click.argument("rows", metavar="ROW...", nargs=-1, required=True, shell_complete=row_names)
@click.option("--undo", is_flag=True, help="Plan skipped rows again.")
@output_options
def skip(console: Console, directory: str, rows: tuple[str, ...], undo: bool) -> int:
    """Leave out rows of the batch in DIR that were not sent yet: they are never paid for.

    \b
    Examples:
      modelslab-async skip music/ 17
      modelslab-async skip music/ 3-9,12 intro
      modelslab-async skip --undo music/ 17

    A ROW is its own id, its number, or a range of numbers. Skipped rows stay so,
    whatever the manifest holds, until --undo plans them again. Rows that were sent
    cannot be skipped.
    """
    import anyio

    from ..batch import Reader, choose
    from .batch_options import row_words

    place = Path(directory)
    check_batch(place)
    with Reader.open(place) as reader:
        chosen = choose(row_words(rows) or (), reader.ids())
        last = reader.last_seq()
    keys: list[int | str] = []
    for key in chosen:
        keys += range(key.start, min(key.stop, last + 1)) if isinstance(key, range) else [key]
    changed = anyio.run(_change, place, keys, undo)
    if console.json:
        shown = [{"row": row.seq, "id": row.id, "state": row.state.value} for row in changed]
        console.print_json({"schema_version": 1, "changed": shown})
        return 0
    for row in changed:
        console.print(f"row {row.seq} ({safe_text(row.id, 40)}): {row.state.value}")
    what = "planned: the next run pays for them" if undo else "skipped: never paid for"
    console.info(f"{plural(len(changed), 'row')} {what}")
    return 0


async def _change(place: Path, keys: Sequence[int | str], undo: bool) -> list[Row]:
    from ..batch import Ledger

    async with Ledger(place) as ledger:
        return await (ledger.unskip(keys) if undo else ledger.skip(keys))
