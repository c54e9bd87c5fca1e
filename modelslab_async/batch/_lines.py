"""Read a manifest as numbered lines of text.

UTF-8, or UTF-16 with a byte order mark; lines end in LF, CR LF or CR. After a line that cannot be
used, the next call continues with the line below it.
"""

from __future__ import annotations

import codecs
import contextlib
import io
from pathlib import Path
from typing import BinaryIO, Final, Self

from attrs import frozen

from .._text import shown

MAX_ROW: Final = 1024 * 1024
"""Characters that a row may have, line endings included."""

_MAX_PATH: Final = 8192

UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@frozen
class BadRow:
    """A row that cannot be used.

    Attributes:
        where: how to name it in a message, such as ``line 17``.
        line: number of its first line, from 1; ``None`` for a row that is not from a file.
        reason: what is wrong with it, as printable text.
    """

    where: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def inside(folder: Path, path: object) -> Path | None:
    """The file that a manifest names by this path; ``None`` if it is not in its folder or below."""
    # A longer path would be resolved in quadratic time.
    if isinstance(path, str) and len(path) <= _MAX_PATH:
        with contextlib.suppress(ValueError):  # a NUL, or text that cannot be encoded
            found = (folder / path).resolve()
            return found if found.is_relative_to(folder.resolve()) else None
    return None


class Unusable(ValueError):
    """Why a row, or a whole manifest, cannot be used."""


class Lines:
    """The lines of a file, with their endings. Close it to leave the file open.

    Attributes:
        number: of the latest line, from 1.
        first: number of the first line of the current row.
    """

    def __init__(self, file: BinaryIO, *, is_utf16: bool) -> None:
        # What cannot be decoded passes as surrogates, so that it costs one line and not the file.
        encoding = ("utf-16", "surrogatepass") if is_utf16 else ("utf-8", "surrogateescape")
        self._file = io.TextIOWrapper(file, *encoding, newline="")
        self._held: str | None = None
        self._size = 0
        self._is_cut = False
        self.number = self.first = 0

    def begin_row(self) -> None:
        """Let the next line be the first of a row."""
        self._size = self.first = 0

    def hold(self, text: str) -> None:
        """Let the next line be the latest one again."""
        self._held = text

    def bad(self, error: Unusable) -> BadRow:
        """The current row, which cannot be used."""
        first = self.first or 1
        return BadRow(f"line {first}", first, str(error))

    def close(self) -> None:
        """Detach from the file."""
        self._file.detach()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        """The next line.

        Raises:
            Unusable: it or its row is too long, or it is not text.
        """
        text, self._held = self._held, None
        if text is None:
            text = self._readline()
            self.number += 1
        if not text:
            raise StopIteration
        self.first = self.first or self.number
        self._size += len(text)
        if self._size > MAX_ROW:
            while text and text[-1] not in "\r\n":
                text = self._readline()
            is_first = self.number == self.first
            raise Unusable("longer than 1 MiB" + ("" if is_first else "; is a quote left open?"))
        if self._is_cut:
            raise Unusable("not UTF-16: the file ends within a character")
        if "\0" in text:  # what a power loss leaves of a file that was being written
            raise Unusable("holds the control character '\\x00'")
        try:
            text.encode()
        except UnicodeEncodeError:
            data = text.encode("utf-8", self._file.errors or "strict")
            raise Unusable(_not_utf8(data)) from None
        return text.removeprefix("\ufeff")  # also of a file that was appended to another

    def _readline(self) -> str:
        if self._is_cut:
            return ""
        try:
            return self._file.readline(MAX_ROW + 1)
        except UnicodeDecodeError:
            self._is_cut = True
            return "\n"


def _not_utf8(data: bytes) -> str:
    try:
        hint = f", but Windows-1252: {shown(data.decode('cp1252').strip(), 40)}"
    except UnicodeDecodeError:
        hint = ""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        hint = f"(byte 0x{data[error.start]:02x}, the {error.start + 1}. of the line){hint}"
    return f"not UTF-8 {hint}; save the manifest as UTF-8"
