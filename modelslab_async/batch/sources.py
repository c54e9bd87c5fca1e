"""Decide what the lines of a manifest say: bytes in, one mapping of fields a row out.

Rows come one by one, and nothing longer than a row is held. What cannot be read is a `BadRow`
among them: nothing here raises for what a manifest holds.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, Literal

from .columns import delimiter, read_csv
from .lines import BadRow, Given, Line, Unusable, bad, decoded, given, once, read_lines

Format = Literal["text", "jsonl", "csv"]

MAX_DEPTH: Final = 64
"""Levels that a JSON row may have."""

_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_ARRAY: Final = re.compile(rb"\[\s*(\{.*)?", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def read_given(file: BinaryIO, format: Format | None) -> Iterator[Given | BadRow]:  # noqa: A002
    """The rows of a manifest, from where the file stands; blank lines are none."""
    lines = read_lines(file)
    first = next((line for line in lines if line.data.strip()), None)
    if first is None:
        return
    try:
        _check_encoding(first)
        found = format or _sniff(first)
    except Unusable as error:
        yield bad(first.number, str(error))
        return
    rest = itertools.chain([first], lines)
    match found:
        case "csv":
            yield from read_csv(first, rest)
        case "jsonl":
            yield from _each(rest, _jsonl)
        case "text":
            yield from _each(rest, _text if format else _sniffed_text)


def _check_encoding(first: Line) -> None:
    if first.data.startswith(_UTF16):
        raise Unusable("the manifest is UTF-16, but must be UTF-8; save it as UTF-8")
    if b"\0" in first.data:
        raise Unusable("the manifest holds NUL bytes: UTF-16, or no text at all; save it as UTF-8")


# What it is


def _sniff(first: Line) -> Format:
    start = first.data.strip()
    if start.startswith(b"{"):
        return "jsonl"
    if _ARRAY.fullmatch(start):
        raise Unusable("a JSON array; write one object a line, as jq -c '.[]' does")
    return "csv" if delimiter(decoded(first)) else "text"


# Text and JSONL: a line is a row


def _each(
    lines: Iterator[Line], read: Callable[[str], dict[str, Any] | None]
) -> Iterator[Given | BadRow]:
    for line in lines:
        try:
            values = read(decoded(line).strip())
        except Unusable as error:
            yield bad(line.number, str(error))
            continue
        if values is not None:
            yield given(line.number, values)


def _text(line: str) -> dict[str, Any] | None:
    if not line or line.startswith("#"):
        return None
    control = _CONTROL.search(line)
    if control:
        raise Unusable(f"holds the control character {control.group()!r}")
    return {"prompt": line}


def _sniffed_text(line: str) -> dict[str, Any] | None:
    if line.startswith("{") and line.endswith("}"):
        raise Unusable(
            "looks like JSON, but the first line made this a text manifest; "
            "say which it is with format text or jsonl"
        )
    return _text(line)


def _jsonl(line: str) -> dict[str, Any] | None:
    if not line:
        return None
    value = _parsed(line)
    if not isinstance(value, dict):
        raise Unusable(f"holds {_shown(value)}, but must be a JSON object")
    if line.count("{") + line.count("[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise Unusable(f"nested deeper than {MAX_DEPTH} levels")
    return value


def _shown(value: object) -> str:
    return f"{json.dumps(value):.40}"


def _parsed(line: str) -> object:
    try:
        return json.loads(
            line, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
    except json.JSONDecodeError as error:
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
