"""Rows for a ledger, and a look at what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._ledger import Ledger
from modelslab_async.batch._rows import PlannedRow
from modelslab_async.batch._sqlite.reader import Reader


def planned(count: int, start: int = 1) -> Iterator[PlannedRow]:
    for number in range(start, start + count):
        yield PlannedRow(f"row-{number}", {"prompt": f"sitar {number}"}, f"hash-{number}", "sitar")


async def submitting(ledger: Ledger, seq: int) -> None:
    await ledger.write(changes.intent(seq, 1000 + seq, 1))


def states(directory: Path) -> list[str]:
    with Reader.open(directory) as reader:
        return [row.state.value for row in reader.each()]
