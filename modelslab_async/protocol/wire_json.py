"""Decode JSON that nobody vouches for: any bytes give a value that is safe to keep, or ValueError.

Safe to keep means: finite numbers of sane length, sane depth, text that every encoder takes, and no
more values than an event loop can stand still for: a value of three bytes may cost a hundred.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 64
MAX_VALUES = 100_000
_MAX_DIGITS = 19  # 2**63 has 19; a longer integer is nothing this API counts


def decode_json(body: bytes) -> object:
    """JSON, with numbers that cannot be used (NaN, 5,000 digits) read as null.

    Halves of surrogate pairs become question marks: no file and no terminal takes them.

    Raises:
        ValueError: not UTF-8, not JSON, nested deeper than 64, over 100,000 values, or two values
            for ``status`` or ``id``. The text of the error never quotes the body.
    """
    # Counted before anything is parsed; signs inside of text count too, and never come to so many.
    opened = body.count(b"[") + body.count(b"{")
    if opened + body.count(b",") > MAX_VALUES:
        raise ValueError("too many values")
    try:
        value = json.loads(
            body.decode("utf-8-sig"),
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
        return _settled(value, MAX_DEPTH)
    return value


def finite(text: str) -> float | None:
    """The number, or ``None`` for an infinite one and for NaN.

    Raises:
        ValueError: no number at all.
    """
    number = float(text)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        if names.count("status") > 1 or names.count("id") > 1:
            raise ValueError("two values for one name")
    return result


def _settled(value: object, left: int) -> object:
    """The same value with whole text only, if it is not too deep."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if not isinstance(value, dict | list):
        return value
    if not left:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_settled(child, left - 1) for child in value]
    return {_settled(name, left): _settled(child, left - 1) for name, child in value.items()}
