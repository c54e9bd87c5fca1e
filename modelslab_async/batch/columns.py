"""Decide what the rows of a CSV manifest say. A row may have several lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, get_type_hints

from ..protocol.requests import MAX_TRACK_ID, MusicGen
from ..protocol.trust import safe_text
from .lines import MAX_ROW, BadRow, Given, Line, Unusable, bad, decoded, given, once
from .strict import CLIP, REQUEST_FIELDS

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_TRUTH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_OWN: Final = REQUEST_FIELDS | {"id", CLIP, "key"}


def delimiter(header: str) -> str | None:
    """What parts the columns of a header that has a column ``prompt``."""
    return next((mark for mark in ",;\t" if "prompt" in _cells(header, mark)), None)


def _cells(header: str, mark: str) -> list[str]:
    try:
        return [_column(cell) for cell in next(csv.reader([header], delimiter=mark), [])]
    except csv.Error:
        return []


def _column(cell: str) -> str:
    """The name of a column; what differs from a field of ours in case alone is that field."""
    name = cell.strip()
    return name.casefold() if name.casefold() in _OWN else name


class _Feed:
    """Lines for the csv module, counted, until a row has too many bytes."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._size = 0
        self.first = 0
        """Number of the first line of the row at hand."""

    def begin(self) -> None:
        """A new row begins."""
        self.first = self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.first = self.first or line.number
        self._size += len(line.data)
        if self._size > MAX_ROW:
            raise Unusable("longer than 1 MiB; is a quote left open?")
        return decoded(line)


def read_csv(first: Line, lines: Iterator[Line]) -> Iterator[Given | BadRow]:
    """The rows under a header; empty ones are none.

    Args:
        first: the line that the header begins on.
        lines: all lines, from that one.
    """
    feed = _Feed(lines)
    try:
        rows = csv.reader(feed, delimiter=delimiter(decoded(first)) or ",", strict=True)
        columns = _columns(next(rows))
    except (csv.Error, Unusable) as error:
        yield bad(first.number, f"no CSV header: {safe_text(error)}")
        return
    while True:
        feed.begin()
        try:
            cells = next(rows)
            values = _by_column(columns, cells)
        except StopIteration:
            return
        except csv.Error as error:
            yield bad(feed.first, f"not CSV: {safe_text(error)}")
        except Unusable as error:
            yield bad(feed.first, str(error))
        else:
            if values:
                yield given(feed.first, values)


def _columns(header: list[str]) -> list[str]:
    columns = [_column(cell) for cell in header]
    if "prompt" not in columns:
        raise Unusable(f"there is no column prompt, but {', '.join(map(repr, columns)):.200}")
    if "" in columns:
        raise Unusable(f"column {columns.index('') + 1} has no name")
    once(columns)
    return columns


def _by_column(columns: list[str], cells: list[str]) -> dict[str, Any]:
    """The cells that are not empty, by the names of their columns."""
    if cells and len(cells) != len(columns):
        raise Unusable(f"has {len(cells)} cells, but the header has {len(columns)}")
    return {
        name: _READERS.get(name, str)(cell)
        for name, cell in zip(columns, cells, strict=False)
        if cell
    }


def _whole(cell: str) -> int | str:
    text = cell.strip()
    return int(text) if _WHOLE.fullmatch(text) else cell


def _truth(cell: str) -> bool | str:
    return _TRUTH.get(cell.strip().casefold(), cell)


def _track_id(cell: str) -> int | str:
    """A number where it is written as one writes numbers, else text."""
    number = _whole(cell)
    if isinstance(number, int) and str(number) == cell and 0 <= number < MAX_TRACK_ID:
        return number
    return cell


_BY_TYPE: Final[dict[object, Callable[[str], Any]]] = {
    int | None: _whole,
    bool | None: _truth,
    bool: _truth,
    int | str | None: _track_id,
}
_READERS: Final[dict[str, Callable[[str], Any]]] = {
    name: _BY_TYPE[kind] for name, kind in get_type_hints(MusicGen).items() if kind in _BY_TYPE
}
