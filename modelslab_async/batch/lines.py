"""Cut a manifest into lines that are not too long. Nothing here knows what they mean."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from attrs import frozen

from .._text import shown

MAX_ROW: Final = 1024 * 1024
"""Bytes that a row may have, line ends included."""

_BOM: Final = b"\xef\xbb\xbf"


@frozen
class Given:
    """One row as a manifest gives it.

    Attributes:
        where: how to name it in a message, such as ``line 17``.
        line: number of its first line, from 1; ``None`` for a row that is not from a file.
        values: its fields, known or not.
    """

    where: str
    line: int | None
    values: dict[str, Any]


@frozen
class BadRow:
    """A row that cannot be used.

    Attributes:
        where: how to name it in a message, such as ``line 17``.
        line: number of its first line, from 1; ``None`` for a row that is not from a file.
        reason: what is wrong with it, in printable words.
    """

    where: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@frozen
class Line:
    """One line with its end; only the start of it if it is not ``whole``."""

    number: int
    data: bytes
    whole: bool


class Unusable(ValueError):
    """Why a line, or all of a manifest, cannot be used."""


def once(names: Iterable[str]) -> None:
    """Check that no name comes twice.

    Raises:
        Unusable: one does.
    """
    seen = set[str]()
    for name in names:
        if name in seen:
            raise Unusable(f"holds the name {shown(name)} twice")
        seen.add(name)


def given(number: int, values: dict[str, Any]) -> Given:
    """A row that begins on this line."""
    return Given(f"line {number}", number, values)


def bad(number: int, reason: str) -> BadRow:
    """A row that begins on this line, and is of no use."""
    return BadRow(f"line {number}", number, reason)


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file, from where it stands; the mark of UTF-8 before them is none of them."""
    for number in itertools.count(1):
        data = file.readline(MAX_ROW + 1)
        if not data:
            return
        whole = len(data) <= MAX_ROW
        if not whole:
            _skip_line(file, data)
        yield Line(number, data.removeprefix(_BOM) if number == 1 else data, whole)


def _skip_line(file: BinaryIO, data: bytes) -> None:
    while data and not data.endswith(b"\n"):
        data = file.readline(MAX_ROW)


def decoded(line: Line) -> str:
    """The text of a line, its end included.

    Raises:
        Unusable: it is too long, or not UTF-8.
    """
    if not line.whole:
        raise Unusable("longer than 1 MiB")
    try:
        return line.data.decode()
    except UnicodeDecodeError as error:
        byte = line.data[error.start]
        raise Unusable(
            f"not UTF-8 (byte 0x{byte:02x}, the {error.start + 1}. of the line); "
            "save the manifest as UTF-8"
        ) from None
