"""Decide what the lines of a manifest say: bytes in, one mapping of fields a row out.

Rows come one by one, and nothing longer than a row is held. What cannot be read is a `BadRow`
among them: nothing here raises for what a manifest holds.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import string
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, Literal

from attrs import define

from ._columns import declared, delimiter, misses_prompt, read_csv
from ._lines import CHUNK, BadRow, Given, Line, Unusable, bad, decoded, given, once, read_lines

Format = Literal["text", "jsonl", "csv"]

MAX_DEPTH: Final = 64
"""Levels that a JSON row may have."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_EMPTY: Final = string.whitespace + ",;|"  # also what a row without cells is made of
_KINDS: Final = {
    b"PK\x03\x04": "an Excel or OpenDocument workbook, or another ZIP file",
    b"PK\x05\x06": "an empty ZIP file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"{\\rtf": "rich text (RTF)",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "gzip data",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ": "xz data",
    b"\x28\xb5\x2f\xfd": "zstd data",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"SQLite format 3": "an SQLite database",
    b"PAR1": "a Parquet file",
    b"RIFF": "sound",
    b"ID3": "sound",
    b"fLaC": "sound",
    b"OggS": "sound",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\xff\xfe\0\0": "UTF-32 text",
    b"\0\0\xfe\xff": "UTF-32 text",
}
_MARKUP: Final = (b"<!doctype", b"<html", b"<head", b"<body", b"<table", b"<?xml", b"<!--")
_NO_PROMPTS: Final = {"---": "YAML, or the head of a Markdown page", "```": "Markdown"}


@define
class Reading:
    """What a manifest was taken for, and what of it is no row.

    Attributes:
        format: ``text``, ``jsonl`` or ``csv``, once that is known.
        delimiter: what parts the columns of a CSV manifest.
        comments: lines that begin with ``#`` and so are no prompts.
        hashtags: those of them that go on without a blank, as ``#lofi`` does.
        hashtag: the first of those.
        blank: lines, and rows of a table, that hold nothing.
    """

    format: Format | None = None
    delimiter: str = ""
    comments: int = 0
    hashtags: int = 0
    hashtag: str = ""
    blank: int = 0

    def skips(self, text: str) -> bool:
        """Whether a line is no row, and counts it then."""
        if not text:
            self.blank += 1
        elif text.startswith("#"):
            self.comments += 1
            if text[1:2].isalnum():
                self.hashtags += 1
                self.hashtag = self.hashtag or text
        else:
            return False
        return True


def read_given(
    file: BinaryIO,
    format: Format | None,  # noqa: A002
    reading: Reading | None = None,
) -> Iterator[Given | BadRow]:
    """The rows of a manifest, from where the file stands.

    Args:
        file: is read to its end.
        format: what it is; ``None`` finds out by the first line that is no comment.
        reading: is filled in while rows are read.
    """
    reading = Reading() if reading is None else reading
    head = file.read(CHUNK)
    number = 1
    try:
        _check_kind(head)
        lines = read_lines(head, file)
        for line in lines:
            number, text = line.number, decoded(line)
            bare = text.strip(_EMPTY)
            names_a_column = bare.startswith("#") and delimiter(text)
            if not names_a_column and reading.skips(bare):
                continue
            reading.format = format or _sniff(text)
            break
    except Unusable as error:
        yield bad(number, str(error))
        return
    if reading.format is None:
        return
    rest = itertools.chain([line], lines)
    match reading.format:
        case "csv":
            yield from _table(rest, reading)
        case "jsonl":
            yield from _each(rest, _jsonl, reading)
        case "text":
            yield from _each(rest, _text if format else _sniffed_text, reading)


def _check_kind(head: bytes) -> None:
    """Refuse what is no text, or text that was made for another purpose."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((name for magic, name in _KINDS.items() if head.startswith(magic)), "")
    if start[:16].lower().startswith(_MARKUP):
        kind = "an HTML or XML page"
    if kind:
        raise Unusable(
            f"the manifest is {kind}, not text; export it as CSV UTF-8, JSONL or plain text"
        )
    if b"\0" in start.partition(b"\n")[0] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unusable("the manifest holds NUL bytes: UTF-16, or no text at all; save it as UTF-8")


# What it is


def _sniff(line: str) -> Format:
    start = line.strip()
    if start.startswith("{"):
        return "jsonl"
    if start == "[" or start.startswith(("[{", "[ {")):
        raise Unusable("a JSON array; write one object a line, as jq -c '.[]' does")
    if declared(line) or delimiter(line):
        return "csv"
    kind = next((name for mark, name in _NO_PROMPTS.items() if start.startswith(mark)), "")
    if kind or misses_prompt(line):
        raise Unusable(
            f"looks like {kind or 'the header of a table without a column prompt'}, which as text "
            "would be paid for line by line; say which it is with format text or csv"
        )
    return "text"


# A table


def _table(lines: Iterator[Line], reading: Reading) -> Iterator[Given | BadRow]:
    header = next(lines)
    first = decoded(header)
    reading.delimiter = declared(first) or delimiter(first) or ","
    rest = lines if declared(first) else itertools.chain([header], lines)
    for row in read_csv(rest, reading.delimiter):
        if row is None:
            reading.blank += 1
        else:
            yield row


# Text and JSONL: a line is a row


def _each(
    lines: Iterator[Line], read: Callable[[str], dict[str, Any]], reading: Reading
) -> Iterator[Given | BadRow]:
    for line in lines:
        try:
            text = decoded(line).strip()
            if not reading.skips(text):
                yield given(line.number, read(text))
        except Unusable as error:
            yield bad(line.number, str(error))


def _text(line: str) -> dict[str, Any]:
    control = _CONTROL.search(line)
    if control:
        raise Unusable(f"holds the control character {control.group()!r}")
    return {"prompt": line.removeprefix("\\") if line.startswith("\\#") else line}


def _sniffed_text(line: str) -> dict[str, Any]:
    if line.startswith("{") and line.endswith("}"):
        raise Unusable(
            "looks like JSON, but the first line made this a text manifest; "
            "say which it is with format text or jsonl"
        )
    if delimiter(line):  # under the title of a sheet
        raise Unusable(
            "looks like the header of a table, whose rows would be paid for line by line as text: "
            "remove what stands above it, or say that it is text with format text"
        )
    return _text(line)


def _jsonl(line: str) -> dict[str, Any]:
    if line in ("{", "["):
        raise Unusable("a JSON value of several lines; write one object a line, as jq -c does")
    value = _parsed(line)
    if not isinstance(value, dict):
        raise Unusable(f"holds {json.dumps(value):.40}, but must be a JSON object")
    if line.count("{") + line.count("[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise Unusable(f"nested deeper than {MAX_DEPTH} levels")
    return value


def _parsed(line: str) -> object:
    try:
        return json.loads(
            line, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            raise Unusable(
                f"more than one JSON value (column {error.colno}): write one object a line, and "
                "no comma after it"
            ) from None
        raise Unusable(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise Unusable(f"nested deeper than {MAX_DEPTH} levels") from None
    except Unusable:
        raise
    except ValueError:
        raise Unusable("holds a number of too many digits") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    once(name for name, _ in pairs)
    return dict(pairs)


def _no_number(word: str) -> None:
    raise Unusable(f"holds {word}, which JSON does not know")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Unusable(f"holds the number {digits:.20}, which is too large")
    return number


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    children = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(child, levels - 1) for child in children)
