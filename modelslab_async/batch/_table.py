"""Decide what the rows of a CSV manifest say, as the csv module and spreadsheets write them.

Cells have no types, so each is read as its column needs it. If that is not certain, the cell stays
text, and the row is refused for its type.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from difflib import SequenceMatcher
from functools import partial
from typing import Any, Final

from .._protocol.wire_values import MAX_TRACK_ID
from .._text import shown
from ._fields import ENDPOINT, FIELDS, ROW_FIELDS
from ._lines import MAX_ROW, Lines, Unusable

_DELIMITERS: Final = ",;\t|"
_NAMES: Final = ROW_FIELDS | {"key"}
_REQUIRED: Final = frozenset(("prompt", "endpoint"))
# Names that hardly occur in a prompt by chance: a line that has one is the header of a table.
_TELLTALE: Final = _NAMES - {"prompt", "id", "key", "extra", "temp", "base64", "unchecked"}
_SIMILAR: Final = 0.8
_MAX_COLUMNS: Final = 50
_MAX_NAME: Final = 12
_AROUND_NAMES: Final = " \t\r\n\xa0\ufeff\u200b\"'“”„«»:"

# 30.0 and 30,0 are 30 everywhere; 1.000 is 1 in some countries and 1000 in others.
_INTEGER: Final = re.compile(r"(-?[0-9]{1,18})(?:[.,]0{1,2})?")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9}|,[0-9]{1,2})")
_TRUE: Final = ["true", "yes", "1", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar"]
_FALSE: Final = ["false", "no", "0", "falsch", "faux", "falso", "onwaar"]
_BOOLEANS: Final = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
_ERRORS: Final = frozenset(("#n/a", "#name?", "#ref!", "#value!", "#div/0!", "#null!", "#num!"))


def declared_delimiter(line: str) -> str | None:
    """The delimiter that a first line such as ``sep=;`` declares, as for Excel."""
    text = line.strip("\r\n \"'")
    value = "\t" if text[4:] == "\\t" else text[4:]
    if text[:4].lower() != "sep=" or not value or value.strip(value[0]) or value[0].isalnum():
        return None
    return value[0]


def delimiter_of(header: str) -> str | None:
    """The delimiter of a header that has a column ``prompt`` or ``endpoint``."""
    folded = header.casefold()
    if not any(name in folded for name in _REQUIRED):
        return None
    marks = [mark for mark in _DELIMITERS if mark in header] or [","]
    return next((mark for mark in marks if not _REQUIRED.isdisjoint(_names(header, mark))), None)


def is_other_header(line: str) -> bool:
    """Whether a line looks like a header without a column ``prompt``."""
    if line.startswith('"') and line.count('"') % 2:
        return True  # a name of several lines
    names = {name.casefold() for mark in _DELIMITERS for name in _names(line, mark)[:_MAX_COLUMNS]}
    return not _TELLTALE.isdisjoint(names) or any(
        SequenceMatcher(None, "prompt", name).ratio() > _SIMILAR
        for name in names
        if len(name) <= _MAX_NAME
    )


def _names(header: str, delimiter: str) -> list[str]:
    try:
        return [_name(cell) for cell in next(csv.reader([header], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _name(cell: str) -> str:
    """The name of a column: one of ours, however it is spelled, or the cell as it is."""
    name = cell.strip(_AROUND_NAMES)
    ours = re.sub(r"[\s-]+", "_", name).casefold()
    return ours if ours in _NAMES else name


class Table:
    """The rows below a header.

    Args:
        lines: from the header on; blank lines may come before it.
        delimiter: between two cells.

    Raises:
        Unusable: there is no usable header.
        StopIteration: there is none at all.
    """

    def __init__(self, lines: Lines, delimiter: str) -> None:
        # A cell may be as long as a row. The limit is process-wide, so it is only ever raised.
        csv.field_size_limit(max(MAX_ROW, csv.field_size_limit()))
        # The csv module accepts blanks before a quoted cell; those behind it are removed here.
        blanks = re.compile(rf'(?<!")" +(?=[{re.escape(delimiter)}\r\n]|$)')
        self._delimiter = delimiter
        self._rows = csv.reader(
            map(partial(blanks.sub, '"'), lines),
            delimiter=delimiter,
            skipinitialspace=True,
            strict=True,
        )
        while not any(map(str.strip, header := self._cells())):
            lines.begin_row()
        self._columns = [_name(cell) for cell in header]
        while self._columns and not self._columns[-1]:
            self._columns.pop()
        if _REQUIRED.isdisjoint(self._columns):
            found = ", ".join(shown(name, 40) for name in self._columns[:20])
            raise Unusable(f"there is no column prompt, but {found:.200}")
        for name, count in Counter(filter(None, self._columns)).items():
            if count > 1:
                raise Unusable(f"holds the name {shown(name)} twice")

    def read(self) -> dict[str, Any] | None:
        """The cells of the next row that are not empty, by column; ``None`` for an empty row.

        Raises:
            Unusable: the row does not fit the header, or is not CSV.
            StopIteration: there is none.
        """
        cells, columns = self._cells(), self._columns
        if not any(map(str.strip, cells)):
            return None
        while len(cells) > len(columns) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(columns):
            raise Unusable(
                f"has {len(cells)} cells, but the header has {len(columns)}; "
                f"a cell that holds {self._delimiter!r} needs quotes"
            )
        if all(_name(cell) == name for cell, name in zip(cells, columns, strict=True)):
            raise Unusable("is the header again, as if tables were joined: remove this line")
        values: dict[str, Any] = {}
        for number, (name, cell) in enumerate(zip(columns, cells, strict=True), 1):
            if name in _NAMES:
                values |= {name: _value(name, cell)} if cell.strip() else {}
            elif name:
                values |= {name: cell} if cell else {}
            elif cell.strip() and number > 1:  # data frames write row numbers to the first column
                raise Unusable(f"has {shown(cell, 40)} in column {number}, which has no name")
        return values

    def _cells(self) -> list[str]:
        try:
            return next(self._rows)
        except csv.Error as error:
            reason = f"{self._delimiter!r} expected after '\"'"
            if str(error) == "unexpected end of data":
                reason = "a quote is left open"
            raise Unusable(f"not CSV: {reason}") from None


def _value(name: str, cell: str) -> Any:
    """A cell that is not blank, as its column needs it; as it is if that is not certain."""
    text, word = cell.strip(), cell.strip().casefold()
    known = FIELDS.get(name)
    if name == "prompt":
        if word in _ERRORS:
            raise Unusable(f"prompt is {text}, the error of a spreadsheet formula")
        return cell
    if name == ENDPOINT:
        return word
    if known is None:
        return text
    if known.choices:  # one field is a flag of one endpoint, and a choice of another
        return _BOOLEANS.get(word, word) if bool in known.types else word
    if known.types == (bool,):
        return _BOOLEANS.get(word, cell)
    if int not in known.types:
        return text
    integer, decimal = _INTEGER.fullmatch(text), _DECIMAL.fullmatch(text)
    if str in known.types:  # a track_id is a number only if it is spelled like one
        is_number = integer and str(int(integer[1])) == cell and 0 <= int(cell) < MAX_TRACK_ID
        return int(cell) if is_number else cell
    if integer:
        return int(integer[1])
    return float(decimal[0].replace(",", ".")) if decimal and float in known.types else cell
