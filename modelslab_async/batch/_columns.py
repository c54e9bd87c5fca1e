"""Decide what the rows of a CSV manifest say, also as spreadsheets write them.

A row may have several lines. Cells have no types, so a cell is read as its column needs it; where
that is not certain, it is left as it is and the row is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from typing import Any, Final

from .._protocol.wire_values import MAX_TRACK_ID
from .._text import shown
from ..endpoints import Field
from ._lines import MAX_ROW, BadRow, Given, Line, Unusable, bad, decoded, given, once
from ._strict import FIELDS, ROW_FIELDS

_MARKS: Final = ",;\t|"
_OWN: Final = ROW_FIELDS | {"key"}
_TELLING: Final = _OWN - {"prompt", "id", "key", "extra", "temp", "base64", "unchecked"}
_NEEDED: Final = frozenset(("prompt", "endpoint"))
_NEAR: Final = 0.8
_MAX_COLUMNS: Final = 50
_MAX_NAME: Final = 12
_AROUND: Final = " \t\r\n\xa0\ufeff\u200b\"'“”„«»:"  # what may stand around the name of a column

# 30.0 and 30,0 are 30 to everybody; 1.000 is 1 to some and 1000 to others.
_WHOLE: Final = re.compile(r"(-?[0-9]{1,18})(?:[.,]0{1,2})?")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9}|,[0-9]{1,2})")
_TRUE: Final = ["true", "yes", "1", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar"]
_FALSE: Final = ["false", "no", "0", "falsch", "faux", "falso", "onwaar"]
_TRUTH: Final = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
_ERRORS: Final = frozenset(("#n/a", "#name?", "#ref!", "#value!", "#div/0!", "#null!", "#num!"))


def declared(line: str) -> str | None:
    """What parts the columns according to a first line such as ``sep=;``, which Excel heeds."""
    text = line.strip("\r\n \"'")
    value = "\t" if text[4:] == "\\t" else text[4:]
    if text[:4].lower() != "sep=" or not value or value.strip(value[0]) or value[0].isalnum():
        return None
    return value[0]


def delimiter(header: str) -> str | None:
    """What parts the columns of a header that has a column ``prompt`` or ``endpoint``."""
    return next((mark for mark in _MARKS if not _NEEDED.isdisjoint(_names(header, mark))), None)


def misses_prompt(line: str) -> bool:
    """Whether a line is a header but for its column ``prompt``: as text, it would be paid for."""
    if line.startswith('"') and line.count('"') % 2:
        return True  # a name of several lines
    names = {name.casefold() for mark in _MARKS for name in _names(line, mark)[:_MAX_COLUMNS]}
    return not _TELLING.isdisjoint(names) or any(
        SequenceMatcher(None, "prompt", name).ratio() > _NEAR
        for name in names
        if len(name) <= _MAX_NAME
    )


def _names(header: str, mark: str) -> list[str]:
    try:
        # A quote that the line leaves open is closed: the name goes on below, and is none of ours.
        return [_column(cell) for cell in _cells(header, mark, lambda: '"')]
    except Unusable:
        return []


def _column(cell: str) -> str:
    """The name of a column: one of ours, however its words are set apart, or as it stands."""
    name = cell.strip(_AROUND)
    ours = re.sub(r"[\s-]+", "_", name).casefold()
    return ours if ours in _OWN else name


class _Rows:
    """The rows of a table, cell by cell."""

    def __init__(self, lines: Iterator[Line], mark: str) -> None:
        self._lines = lines
        self._mark = mark
        self._size = 0
        self.first = 0
        """Number of the first line of the row at hand."""

    def next(self) -> list[str]:
        """The cells of the next row.

        Raises:
            StopIteration: there is none.
            Unusable: they cannot be told apart, or are too long.
        """
        self._size = self.first = 0
        line = self._line()
        if line is None:
            raise StopIteration
        return _cells(line, self._mark, lambda: self._line() or "")

    def _line(self) -> str | None:
        line = next(self._lines, None)
        if line is None:
            return None
        self.first = self.first or line.number
        self._size += len(line.data)
        if self._size > MAX_ROW:
            raise Unusable("longer than 1 MiB; is a quote left open?")
        return decoded(line)


def _cells(line: str, mark: str, more: Callable[[], str]) -> list[str]:
    """The cells of the row that begins with a line; the module csv takes none of a mebibyte.

    Args:
        line: the first line, its end included.
        mark: what parts the cells.
        more: gives the next line while a quote is open, and nothing after the last one.
    """
    if '"' not in line:
        return line.rstrip("\r\n").split(mark)
    cells, at = list[str](), 0
    while True:
        start = at
        while line[start : start + 1] == " ":
            start += 1
        if line[start : start + 1] == '"':
            cell, line, at = _quoted(line, start + 1, more)
            end = line.find(mark, at)
            between = line[at:] if end < 0 else line[at:end]
            if between.strip(" \r\n"):
                raise Unusable(f"not CSV: {mark!r} expected after '\"'")
        else:
            end = line.find(mark, at)
            cell = line[at:].rstrip("\r\n") if end < 0 else line[at:end]
        cells.append(cell)
        if end < 0:
            return cells
        at = end + len(mark)


def _quoted(line: str, at: int, more: Callable[[], str]) -> tuple[str, str, int]:
    """A cell after its opening quote, the line that it ends on, and where on it."""
    parts = []
    while True:
        end = line.find('"', at)
        if end < 0:
            parts.append(line[at:])
            line, at = more(), 0
            if not line:
                raise Unusable("not CSV: a quote is left open")
            continue
        parts.append(line[at:end])
        if line[end + 1 : end + 2] != '"':
            return "".join(parts), line, end + 1
        parts.append('"')
        at = end + 2


def read_csv(lines: Iterator[Line], mark: str) -> Iterator[Given | BadRow | None]:
    """The rows under a header, ``None`` for each that is empty.

    Args:
        lines: all lines, from the one that the header begins on.
        mark: what parts the columns.
    """
    rows = _Rows(lines, mark)
    try:
        while not any(map(str.strip, header := rows.next())):  # blank lines after ``sep=;``
            yield None
        columns = _columns(header)
    except StopIteration:
        return
    except Unusable as error:
        yield bad(rows.first, f"no CSV header: {error}")
        return
    while True:
        try:
            values = _by_column(columns, rows.next(), mark)
        except StopIteration:
            return
        except Unusable as error:
            yield bad(rows.first, str(error))
        else:
            yield given(rows.first, values) if values else None


def _columns(header: list[str]) -> list[str]:
    """The names of the columns, up to the last that has one."""
    columns = [_column(cell) for cell in header]
    while columns and not columns[-1]:
        columns.pop()
    if _NEEDED.isdisjoint(columns):
        named = ", ".join(shown(name, 40) for name in columns[:20])
        raise Unusable(f"there is no column prompt, but {named:.200}")
    once(filter(None, columns))
    return columns


def _by_column(columns: list[str], cells: list[str], mark: str) -> dict[str, Any]:
    """The cells that are not empty, by the names of their columns."""
    if not any(map(str.strip, cells)):
        return {}
    while len(cells) > len(columns) and not cells[-1].strip():
        cells.pop()
    if len(cells) != len(columns):
        raise Unusable(
            f"has {len(cells)} cells, but the header has {len(columns)}; "
            f"a cell that holds {mark!r} needs quotes"
        )
    if [*map(_column, cells)] == columns:
        raise Unusable("is the header again, as where tables are put together: remove this line")
    values: dict[str, Any] = {}
    for number, (name, cell) in enumerate(zip(columns, cells, strict=True), 1):
        if name in _OWN:
            values |= {name: _READERS[name](cell)} if cell.strip() else {}
        elif name:
            values |= {name: cell} if cell else {}
        elif cell.strip() and number > 1:  # the first is where data frames write their row numbers
            raise Unusable(f"has {shown(cell, 40)} in column {number}, which has no name")
    return values


def _prompt(cell: str) -> str:
    if cell.strip().casefold() in _ERRORS:
        raise Unusable(f"prompt is {cell.strip()}, by which a spreadsheet says that it failed")
    return cell


def _word(cell: str) -> str:
    return cell.strip().casefold()


def _whole(cell: str) -> int | str:
    found = _WHOLE.fullmatch(cell.strip())
    return int(found[1]) if found else cell


def _truth(cell: str) -> bool | str:
    return _TRUTH.get(cell.strip().casefold(), cell)


def _track_id(cell: str) -> int | str:
    """A number where it is written as one writes numbers, else text."""
    number = _whole(cell)
    if isinstance(number, int) and str(number) == cell and 0 <= number < MAX_TRACK_ID:
        return number
    return cell


def _reader(known: Field) -> Callable[[str], Any]:
    if bool in known.types and known.choices:  # one endpoint's is a flag, another's one of a few
        return lambda cell: _truth(_word(cell))
    return _word if known.choices else _BY_TYPES.get(known.types, str.strip)


def _number(cell: str) -> int | float | str:
    """A number with a point or a decimal comma; 1,000 is one to some and a thousand to others."""
    whole = _whole(cell)
    found = _DECIMAL.fullmatch(cell.strip()) if isinstance(whole, str) else None
    return float(found[0].replace(",", ".")) if found else whole


_BY_TYPES: Final[dict[tuple[type, ...], Callable[[str], Any]]] = {
    (int,): _whole,
    (bool,): _truth,
    (int, float): _number,
    (int, str): _track_id,
}
_READERS: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(_OWN, str.strip),
    **{name: _reader(known) for name, known in FIELDS.items()},
    "prompt": _prompt,
    "endpoint": _word,
}
