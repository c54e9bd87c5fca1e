"""Decode untrusted JSON, and encode JSON to send.

Any bytes decode to a safe value or raise ValueError. A safe value has only finite numbers of
limited length, limited depth, text that every encoder accepts, and a limited number of values: a
value of three bytes may need a hundred in memory, and decoding blocks the event loop.

JSON to send is checked and encoded in short steps, so that a large value does not block either.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Collection, Iterator
from typing import Any

from attrs import field, frozen

MAX_DEPTH = 64
MAX_VALUES = 100_000
_MAX_DIGITS = 19  # 2**63 has 19; a longer integer is nothing this API counts


def decode_json(body: bytes) -> object:
    """Decode JSON; unusable numbers (NaN, 5,000 digits) become ``None``.

    Lone surrogates become question marks, because files and terminals reject them.

    Raises:
        ValueError: not UTF-8, not JSON, nested deeper than 64, over 100,000 values, or two values
            for ``status`` or ``id``. The message never quotes the body.
    """
    # Counted before parsing. Brackets and commas in text count too; no real reply has so many.
    opened = body.count(b"[") + body.count(b"{")
    if opened + body.count(b",") > MAX_VALUES:
        raise ValueError("too many values")
    try:
        value = json.loads(
            body.removeprefix(codecs.BOM_UTF8).decode(),
            parse_int=_integer,
            parse_float=finite,
            parse_constant=finite,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    if opened > MAX_DEPTH or b"\\ud" in body.lower():
        return _without_surrogates(value, MAX_DEPTH)
    return value


def finite(text: str) -> float | None:
    """Parse a number; return ``None`` for infinities and NaN.

    Raises:
        ValueError: the text is not a number.
    """
    number = float(text)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        for name, value in pairs:
            if name in ("status", "id") and value != result[name]:
                raise ValueError("two values for one name")
    return result


def _without_surrogates(value: object, left: int) -> object:
    """Replace lone surrogates in all text; raise ValueError if the value is nested too deep."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if not isinstance(value, dict | list):
        return value
    if not left:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_without_surrogates(child, left - 1) for child in value]
    return {
        _without_surrogates(name, left): _without_surrogates(child, left - 1)
        for name, child in value.items()
    }


# --- JSON to send -------------------------------------------------------------------------------

# Characters encoded per step. A step blocks the event loop even in a thread, as it holds the GIL.
_STEP = 1024 * 1024
_STEP_VALUES = 1000
_MAX_BITS = 4096  # Python writes no integer of over 4,300 digits


def check_json(value: object, longest: int) -> None:
    """Check that a value can be sent as JSON, in time proportional to its size.

    Args:
        value: the value to send.
        longest: maximum number of characters of all its text together.

    Raises:
        ValueError: it cannot be sent; the message says why.
    """
    level, values, size = [value], 0, 0
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for one in level:
            if isinstance(one, str):
                size += len(one)
            elif isinstance(one, dict | list | tuple):
                values += len(one)  # counted before the visit: one list may occur in many places
                if values > MAX_VALUES:
                    raise ValueError(f"it holds over {MAX_VALUES} values")
                below += [*map(_checked_name, one), *one.values()] if isinstance(one, dict) else one
            else:
                _check_number(one)
        if size > longest:
            raise ValueError(f"it holds over {longest} characters")
        if not below:
            return
        level = below
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _checked_name(name: object) -> object:
    if isinstance(name, tuple):
        raise ValueError("a name is a tuple")
    return name


def _check_number(value: object) -> None:
    """Check a value that is neither text nor a container."""
    if value is not None and not isinstance(value, int | float):
        raise ValueError(f"it holds a {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it holds a number that is not finite")
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise ValueError("it holds a number of too many digits")


def is_small(values: Collection[object]) -> bool:
    """Return whether these values are so small that the event loop may encode them."""
    if len(values) > _STEP_VALUES or any(isinstance(one, dict | list | tuple) for one in values):
        return False
    return sum(len(one) for one in values if isinstance(one, str)) <= _STEP


@frozen
class Encoded:
    """An encoded JSON object, hidden in the repr, so that tracebacks do not show it."""

    data: bytes = field(repr=lambda data: f"<{len(data)} bytes>")


def encode_json(value: object, *, sort_keys: bool = False) -> bytes:
    """Encode a value as compact ASCII JSON. `check_json` must have accepted its parts."""
    return b"".join(_pieces(value, sort_keys))


def _pieces(value: object, sort_keys: bool) -> Iterator[bytes]:
    """Yield the encoded value in pieces; encoding one takes a short time."""
    match value:
        case str() if not is_small([value]):
            yield b'"'
            for start in range(0, len(value), _STEP):
                yield _dumped(value[start : start + _STEP])[1:-1]
            yield b'"'
        case dict() if not is_small(value.values()):
            opening = b"{"
            for name in sorted(value) if sort_keys else value:
                yield opening + _dumped({name: 0})[1:-2]
                yield from _pieces(value[name], sort_keys)
                opening = b","
            yield b"}"
        case list() | tuple() if not is_small(value):
            opening = b"["
            for item in value:
                yield opening
                yield from _pieces(item, sort_keys)
                opening = b","
            yield b"]"
        case _:
            yield _dumped(value, sort_keys)


def _dumped(value: object, sort_keys: bool = False) -> bytes:
    text = json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")
