"""Read and write JSON as PHP and Laravel do, which the API runs on. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

_BOOLEANS: Final = frozenset({"temp", "base64", "stream", "instrumental", "lyrics_generation"})
_PLAIN: Final = 1e15  # beyond, PHP writes an exponent
_WORDS: Final = {"1": True, "0": False}
_WORDS_OF_SDKS: Final = {"true": True, "false": False}


def read_json(body: bytes) -> object:
    """Parse JSON text; return None if PHP's `json_decode` would reject it.

    It rejects a byte order mark, NaN and infinities, lone surrogates, and anything that is not
    UTF-8 (PHP manual, json_decode).
    """
    try:
        found: object = json.loads(body.decode(), parse_constant=_refuse)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def with_booleans(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request, with Laravel's boolean values converted to bool.

    These are 1, 0, "1" and "0" (Laravel manual, validation rule ``boolean``). The official SDKs
    send ``base64`` as "true" or "false" and ``temp`` as 1.0 or 0.0, so these are converted too.
    """
    return {name: _boolean(name, value) for name, value in document.items()}


def _boolean(name: str, value: object) -> object:
    if name not in _BOOLEANS:
        return value
    if type(value) in (int, float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        words = {**_WORDS, **_WORDS_OF_SDKS} if name == "base64" else _WORDS
        return words.get(value, value)
    return value


def php_numbers(value: Any) -> Any:
    """Replace whole floats by integers, as `json_encode` writes them: 2 for 2.0."""
    match value:
        case float() if value.is_integer() and abs(value) < _PLAIN:
            return int(value)
        case Mapping():
            return {name: php_numbers(one) for name, one in value.items()}
        case list() | tuple():
            return [php_numbers(one) for one in value]
    return value
