"""Cut a manifest into lines that are not too long. Nothing here knows what they mean."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from attrs import frozen

from .._text import shown

MAX_ROW: Final = 1024 * 1024
"""Bytes that a row may have, line ends included."""

CHUNK: Final = 128 * 1024

_UTF16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


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


def read_lines(head: bytes, file: BinaryIO) -> Iterator[Line]:
    """The lines of a file; they end in LF, in CR LF or, as old Macs wrote them, in CR.

    Args:
        head: the first `CHUNK` of it, which is read already.
        file: the rest.
    """
    number, held = 1, b""
    for chunk in _as_utf8(head, file):
        *lines, held = (held + chunk).splitlines(keepends=True)  # of bytes, at CR and LF alone
        if held.endswith(b"\n"):  # a CR may be the first half of a CR LF
            lines.append(held)
            held = b""
        for data in lines:
            yield Line(number, data, len(data) <= MAX_ROW)
            number += 1
        if len(held) > MAX_ROW:
            held = held[: MAX_ROW + 1] + held[-1:]
    if held:
        yield Line(number, held, len(held) <= MAX_ROW)


def _as_utf8(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    """The file by the chunk, without the mark of its encoding. "Unicode Text" of Excel is UTF-16.

    What is broken in UTF-16 is broken in what comes out too, where its line is refused for it.
    """
    encoding = _UTF16.get(head[:2])
    chunks = iter(lambda: file.read(CHUNK), b"")
    if encoding is None:
        yield from filter(None, [head.removeprefix(codecs.BOM_UTF8)])
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for chunk in itertools.chain([head[2:]], chunks):
        yield from filter(None, [decoder.decode(chunk).encode("utf-8", "surrogatepass")])
    if decoder.getstate()[0]:
        yield b"\xff"


def decoded(line: Line) -> str:
    """The text of a line, its end included, without the mark of a file that was appended there.

    Raises:
        Unusable: it is too long, or not UTF-8, or holds a NUL.
    """
    if not line.whole:
        raise Unusable("longer than 1 MiB")
    if b"\0" in line.data:  # what a power loss leaves of a file that was being written
        raise Unusable("holds the control character '\\x00'")
    try:
        return line.data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        byte = line.data[error.start]
        raise Unusable(
            f"not UTF-8 (byte 0x{byte:02x}, the {error.start + 1}. of the line){_hint(line.data)}; "
            "save the manifest as UTF-8"
        ) from None


def _hint(data: bytes) -> str:
    try:
        return f", but Windows-1252: {shown(data.decode('cp1252').strip(), 40)}"
    except UnicodeDecodeError:
        return ""
