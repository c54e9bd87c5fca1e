"""Read a manifest, row by row: bytes in, the fields of one row out.

The format is text, JSONL or CSV. Unless it is given, the first line that is neither blank nor a
comment decides.

* text: one prompt per line, without surrounding blanks. A line that begins with ``#`` is a comment;
  a prompt that begins so is written ``\\#``.
* JSONL: one object per line, with the fields of a request by name; comments as in text.
* CSV: a header, and one field per column; commas, semicolons, tabs or bars, or the delimiter that
  a first line such as ``sep=;`` declares. An empty cell leaves its field unset. Comments are
  allowed above the header only: below it, ``#`` may begin a prompt.
* TOML, only where the format is given: see `_combinations`.

Five more fields have a meaning: ``id``, the row's own stable key; ``endpoint``, such as ``sfx``;
``init_audio_file``, a clip beside the manifest; ``takes``, how often to make it; ``unchecked``, to
send values beyond the documented bounds. All others are copied to the results.

What cannot be read is a `BadRow`; nothing here raises for the content of a manifest. Read a
`snapshot` of it twice: once completely, into a `Reading`, before any row is planned, and again to
plan. A clip may change in between, so the second pass may still find a `BadRow`.
"""

from __future__ import annotations

import errno
import json
import re
import string
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, cast

from attrs import Factory, define, frozen

from .._protocol.wire_json import MAX_DEPTH
from .._text import shown
from ..errors import RequestError
from ._fields import ROW_FIELDS
from ._lines import UTF16_MARKS, BadRow, Lines, Unusable
from ._records import NewRow, RowMaker
from ._rows import PlannedRow
from ._table import Table, declared_delimiter, delimiter_of, is_other_header
from ._toml import read_toml

Format = Literal["text", "jsonl", "csv", "toml"]
"""How a manifest is written: a prompt or a JSON object per line, a table, or combinations."""

MAX_REPORTED: Final = 1000
"""Bad rows that a report lists; further ones are counted."""

MAX_COPY: Final = 1024 * 1024 * 1024
"""Bytes that are read from a pipe, which may never end."""

CHUNK: Final = 128 * 1024

_MAX_NAMES: Final = 100
_SPELLED: Final = ROW_FIELDS - {"id"}  # too many names are close to id
_IN_MEMORY: Final = 16 * 1024 * 1024
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BLANK: Final = string.whitespace + ",;|"  # also what an empty row of a table consists of
_KINDS: Final = {
    "an Excel or OpenDocument workbook, or another ZIP file": (b"PK\3\4", b"PK\5\6"),
    "an old Excel workbook": (b"\xd0\xcf\x11\xe0",),
    "rich text (RTF)": (b"{\\rtf",),
    "a PDF document": (b"%PDF",),
    "compressed (gzip, bzip2, xz, zstd or 7-Zip)": (
        *(b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"),
    ),
    "an SQLite database": (b"SQLite format 3",),
    "a Parquet file": (b"PAR1",),
    "sound": (b"RIFF", b"ID3", b"fLaC", b"OggS"),
    "a picture": (b"\x89PNG", b"\xff\xd8\xff"),
    "UTF-32 text": (b"\xff\xfe\0\0", b"\0\0\xfe\xff"),
}
_MARKUP: Final = (b"<!doctype", b"<html", b"<head", b"<body", b"<table", b"<?xml", b"<!--")


@define
class Reading:
    """What was read: how a manifest is written, how many rows it has, and what is wrong with them.

    Attributes:
        format: ``text``, ``jsonl``, ``csv`` or ``toml``, once known.
        delimiter: between the columns of a CSV manifest.
        comments: lines that begin with ``#`` and so are no prompts.
        hashtags: those of them without a blank after the ``#``, such as ``#lofi``.
        hashtag: the first of those.
        blank: empty lines, and empty rows of a table.
        rows: the number of rows, good and bad.
        bad_rows: the number of bad ones.
        bad: the first 1,000 of them.
        unknown: names of fields that are not ours, the first 100: copied through, or misspelled.
        own_ids: rows that give their own id.
    """

    format: Format | None = None
    delimiter: str = ""
    comments: int = 0
    hashtags: int = 0
    hashtag: str = ""
    blank: int = 0
    rows: int = 0
    bad_rows: int = 0
    bad: list[BadRow] = Factory(list)
    unknown: list[str] = Factory(list)
    own_ids: int = 0

    def add(self, row: NewRow | BadRow) -> None:
        """Count one more row."""
        self.rows += 1
        if isinstance(row, BadRow):
            self.bad_rows += 1
            self.bad += [row] if len(self.bad) < MAX_REPORTED else []
        else:
            self.own_ids += row.has_own_id
            new = [name for name in row.fields if name not in (*self.unknown, "take")]
            self.unknown += new[: _MAX_NAMES - len(self.unknown)]

    @property
    def misspelled(self) -> dict[str, str]:
        """Unknown fields that are similar to a known one, and that one."""
        near = {
            name: get_close_matches(name.casefold(), _SPELLED, n=1, cutoff=0.8)
            for name in self.unknown
        }
        return {name: found[0] for name, found in near.items() if found}

    def faults(self) -> str:
        """The bad rows, one in each line."""
        unseen = self.bad_rows - len(self.bad)
        return "\n".join(
            [
                f"{self.bad_rows} of {self.rows} rows cannot be used",
                *map(str, self.bad),
                *([f"and {unseen} more"] if unseen else []),
            ]
        )


@frozen
class Manifest:
    """A manifest that can be read twice: to check it, and then to plan its rows."""

    file: BinaryIO
    format: Format | None
    folder: Path | None

    def rows(self, reading: Reading | None = None) -> Iterator[NewRow | BadRow]:
        """Its rows, from the start."""
        self.file.seek(0)
        return read_manifest(self.file, self.format, folder=self.folder, reading=reading)

    def planned(self, *, enterprise: bool = False) -> Iterator[PlannedRow]:
        """Its rows, for the ledger.

        Args:
            enterprise: rows that do not say go to enterprise twins, where there are any.

        Raises:
            RequestError: a clip has changed since it was checked, and cannot be used now.
        """
        for row in self.rows():
            if isinstance(row, BadRow):
                raise RequestError(f"{row}; nothing was sent")
            yield row.planned(enterprise=enterprise)


def snapshot(file: BinaryIO) -> BinaryIO:
    """A copy of a file's content, to be read twice, even if the file changes meanwhile.

    Close the copy; it then disappears.

    Raises:
        OSError: the file cannot be read, a pipe does not end, or a large copy finds no space.
    """
    copy = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    try:
        while chunk := file.read(CHUNK):
            copy.write(chunk)
            if copy.tell() > MAX_COPY and not file.seekable():
                raise OSError(errno.EFBIG, "over 1 GiB came, and no end of it")
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return cast("BinaryIO", copy)


def read_manifest(
    file: BinaryIO,
    format: Format | None = None,  # noqa: A002 - the word of the command line
    *,
    folder: Path | None = None,
    reading: Reading | None = None,
) -> Iterator[NewRow | BadRow]:
    """The rows of a manifest, good and bad, in order.

    Args:
        file: read from its current position to its end; seekable, and not closed.
        format: ``text``, ``jsonl``, ``csv`` or ``toml``; ``None``: decide by the first line, which
            never makes it ``toml``.
        folder: the manifest's directory, for ``init_audio_file``; ``None``: the current one.
        reading: filled in while rows are read, and complete once all are.

    Raises:
        OSError: the file cannot be read.
    """
    folder, reading = folder or Path(), reading or Reading()
    maker = RowMaker(folder, "row" if format == "toml" else "line")
    if format == "toml":
        reading.format = format
    found = read_toml(file, folder) if format == "toml" else read_fields(file, format, reading)
    for fields in found:
        for row in [fields] if isinstance(fields, BadRow) else maker.takes(*fields):
            reading.add(row)
            yield row


def read_fields(
    file: BinaryIO,
    format: Format | None,  # noqa: A002
    reading: Reading,
) -> Iterator[tuple[int, dict[str, Any]] | BadRow]:
    """The number of the first line of each row, and the row's fields, known or not."""
    start = file.tell()
    head = file.read(CHUNK)
    file.seek(start)
    read: Callable[[], dict[str, Any] | None] | None = None
    with closing(Lines(file, is_utf16=head.startswith(UTF16_MARKS))) as lines:
        while True:
            lines.begin_row()
            try:
                if read is None:
                    _check_kind(head)
                    read = _reader(lines, format, reading)
                    lines.begin_row()
                fields = read()
            except StopIteration:
                return
            except Unusable as error:
                yield lines.bad(error)
                if read is None:
                    return
            else:
                if fields is not None:
                    yield lines.first, fields


def _check_kind(head: bytes) -> None:
    """Reject what is not text, or is text for another purpose."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((name for name, magic in _KINDS.items() if head.startswith(magic)), "")
    if start[:16].lower().startswith(_MARKUP):
        kind = "an HTML or XML page"
    if kind:
        raise Unusable(
            f"the manifest is {kind}, not text; export it as CSV UTF-8, JSONL or plain text"
        )
    if b"\0" in start.partition(b"\n")[0] and not head.startswith(UTF16_MARKS):
        raise Unusable("the manifest holds NUL bytes: UTF-16, or no text at all; save it as UTF-8")


def _reader(
    lines: Lines,
    format: Format | None,  # noqa: A002
    reading: Reading,
) -> Callable[[], dict[str, Any] | None]:
    """What reads the next row; it is ``None`` for a line, or a row of a table, that is none.

    Raises:
        Unusable: the manifest is in none of the formats.
        StopIteration: it holds neither rows nor a header.
    """
    while True:
        lines.begin_row()
        line = next(lines)
        bare = line.strip(_BLANK)
        # A column of numbers may be named "#".
        if (bare.startswith("#") and delimiter_of(line)) or not _skips(reading, bare):
            break
    is_given, reading.format = format is not None, format or _sniff(line)
    lines.begin_row()
    if reading.format == "csv":
        declared = declared_delimiter(line)
        reading.delimiter = declared or delimiter_of(line) or ","
        if declared is None:
            lines.hold(line)
        try:
            table = Table(lines, reading.delimiter)
        except Unusable as error:
            raise Unusable(f"no CSV header: {error}") from None

        def read_row() -> dict[str, Any] | None:
            fields = table.read()
            reading.blank += fields is None
            return fields

        return read_row
    lines.hold(line)
    parse = _jsonl if reading.format == "jsonl" else partial(_text, is_given=is_given)

    def read_line() -> dict[str, Any] | None:
        text = next(lines).strip()
        return None if _skips(reading, text) else parse(text)

    return read_line


def _skips(reading: Reading, text: str) -> bool:
    """Whether a line is blank or a comment; if so, count it."""
    if not text:
        reading.blank += 1
    elif text.startswith("#"):
        reading.comments += 1
        if text[1:2].isalnum():
            reading.hashtags += 1
            reading.hashtag = reading.hashtag or text
    else:
        return False
    return True


def _sniff(line: str) -> Format:
    start = line.strip()
    if start.startswith("{"):
        return "jsonl"
    if start == "[" or start.startswith(("[{", "[ {")):
        raise Unusable("a JSON array; write one object per line, as jq -c '.[]' does")
    if declared_delimiter(line) or delimiter_of(line):
        return "csv"
    kind = ""
    if start.startswith("---"):
        kind = "YAML, or the head of a Markdown page"
    elif start.startswith("```"):
        kind = "Markdown"
    elif is_other_header(line):
        kind = "the header of a table without a column prompt"
    if kind:
        raise Unusable(
            f"looks like {kind}, and as text each line would be paid for; pass format text or csv"
        )
    return "text"


def _text(line: str, *, is_given: bool) -> dict[str, Any]:
    control = _CONTROL.search(line)
    if control:
        raise Unusable(f"holds the control character {control.group()!r}")
    if not is_given and line.startswith("{") and line.endswith("}"):
        raise Unusable(
            "looks like JSON, but the first line made this a text manifest; "
            "pass format text or jsonl"
        )
    if not is_given and delimiter_of(line):  # below the title of a sheet
        raise Unusable(
            "looks like the header of a table, and as text each of its rows would be paid for: "
            "remove the lines above it, or pass format text"
        )
    return {"prompt": line.removeprefix("\\") if line.startswith("\\#") else line}


def _jsonl(line: str) -> dict[str, Any]:
    if line in ("{", "["):
        raise Unusable("a JSON value of several lines; write one object per line, as jq -c does")
    try:
        value = json.loads(line, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} (column {error.colno})"
        if error.msg == "Extra data":
            reason = f"more than one JSON value (column {error.colno}): write one object per line, "
            reason += "and no comma after it"
        raise Unusable(reason) from None
    except RecursionError:
        raise Unusable(f"nested deeper than {MAX_DEPTH} levels") from None
    except Unusable:
        raise
    except ValueError:
        raise Unusable("holds a number of too many digits") from None
    if not isinstance(value, dict):
        raise Unusable(f"holds {json.dumps(value):.40}, but must be a JSON object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Unusable(f"holds the name {shown(twice)} twice")
    return value
