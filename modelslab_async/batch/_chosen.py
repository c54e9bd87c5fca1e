"""Choose rows of a batch: by number, by range of numbers, or by id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from .._text import safe_text
from ..errors import RequestError
from ._lines import BadRow
from ._records import NewRow
from ._sqlite.reader import Reader

RowKey = int | range | str
"""A row's number, a range of numbers, or a row's id."""

_NUMBERS: Final = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_MAX_COMPARED: Final = 5000
"""Ids that are compared with a misspelled one."""


class Chosen:
    """Some rows of a batch.

    Args:
        keys: of the rows, for example ``[3, range(10, 21), "intro"]``.

    Raises:
        RequestError: one of them is none.
    """

    def __init__(self, keys: Iterable[RowKey]) -> None:
        self._ids: set[str] = set()
        self._ranges: list[range] = []
        for key in [keys] if isinstance(keys, str) else keys:
            match key:
                case str():
                    self._ids.add(key)
                case range():
                    self._ranges.append(key)
                case int() if not isinstance(key, bool):
                    self._ranges.append(range(key, key + 1))
                case _:
                    raise RequestError(
                        f"{key!r:.40} chooses no row: use a number, a range or an id", field="only"
                    )

    def holds(self, seq: int, row_id: str) -> bool:
        """Whether the row with this number and id is among them."""
        return row_id in self._ids or any(seq in numbers for numbers in self._ranges)


def choose(keys: Iterable[RowKey], rows: Iterable[tuple[int, str]]) -> list[RowKey]:
    """Find out which rows are meant where text may be an id or a number, as ``17`` and ``3-9`` may.

    Args:
        keys: which rows; a text that is no id of a row counts as a number or range.
        rows: number and id of all rows of the batch.

    Raises:
        RequestError: there is no such row; the nearest id is named.
    """
    wanted = list(keys)
    words = {key for key in wanted if isinstance(key, str)}
    found, known, last = set[str](), list[str](), 0
    for seq, row_id in rows:
        last = max(last, seq)
        if row_id in words:
            found.add(row_id)
        if len(known) < _MAX_COMPARED:
            known.append(row_id)
    return [
        key if not isinstance(key, str) or key in found else _range(key, last, known)
        for key in wanted
    ]


def _range(text: str, last: int, ids: list[str]) -> range:
    """The numbers that a text stands for. A range may go beyond the last row."""
    read = _NUMBERS.fullmatch(text)
    if read is None:
        near = get_close_matches(text, ids, n=1)
        meant = f"did you mean {safe_text(near[0], 60)}?" if near else "use its number or its id"
        name = safe_text(text, 60)
        raise RequestError(f"the batch has no row {name!r}; {meant}", field="only")
    first, end = int(read[1]), int(read[2] or read[1])
    if not 1 <= first <= end:
        raise RequestError(f"{text} is not a range of rows: they are numbered from 1", field="only")
    if first > last:
        raise RequestError(f"there is no row {first}: the last one is row {last}", field="only")
    return range(first, end + 1)


def numbered(rows: Iterable[NewRow | BadRow], reader: Reader | None) -> Iterator[tuple[int, str]]:
    """Numbers and ids of the rows that a directory holds, and of the new ones among ``rows``."""
    seq = 0
    for seq, row_id in reader.ids() if reader else ():
        yield seq, row_id
    for row in rows:
        if isinstance(row, NewRow) and (reader is None or reader.planned_as(row.id) is None):
            seq += 1
            yield seq, row.id
