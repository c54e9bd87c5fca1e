"""Show values of any kind in messages: what is shown costs no more than what is shown."""

from __future__ import annotations

import re
import reprlib
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from decimal import Decimal

_MAX_ITEMS = 20


def shown(value: object, limit: int = 80) -> str:
    """The start of a value's ``repr``, at most ``limit`` characters.

    Only as much of a long text is looked at as is shown; ``repr`` would copy megabytes to cut them.
    """
    return _Brief(limit).repr(value)[:limit]


class _Brief(reprlib.Repr):
    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = self.maxlong = self.maxother = limit

    def repr1(self, x: object, level: int) -> str:
        if isinstance(x, str | bytes | bytearray):
            return repr(x[: self._limit])
        if isinstance(x, dict | set | frozenset) and len(x) > _MAX_ITEMS:
            return f"<{type(x).__name__} of {len(x)} items>"  # the base class would sort them all
        try:
            return super().repr1(x, level)
        except Exception:  # noqa: BLE001  an int of 5,000 digits, or a repr that is not ours
            return f"<{type(x).__name__}>"


_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)


_SLUG_INPUT: Final = 4096


def slug(text: str, limit: int = 60) -> str:
    """A file name component made from foreign text: ``[a-z0-9._-]``, at most ``limit`` bytes.

    Letters lose their accents and other scripts fall away. It never starts with a dot or a dash,
    never names a device of Windows, and is ``"track"`` (cut to ``limit``, which is at least 1) when
    nothing usable is left.
    """
    letters = unicodedata.normalize("NFKD", text[:_SLUG_INPUT]).casefold()
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    words = re.sub(r"\.{2,}", ".", re.sub(r"[^a-z0-9._-]+", "-", bare))
    name = words.strip(".-")[:limit].rstrip(".-") or "track"[:limit]
    return f"_{name}"[:limit].rstrip(".-") if name.partition(".")[0] in _DEVICES else name


def safe_text(text: object, limit: int = 300) -> str:
    """Foreign text as one printable line of at most ``limit`` characters, cut with ``...``.

    Controls, line ends, bidirectional and zero-width marks, odd spaces and surrogates become
    ``\\xNN``, ``\\uNNNN`` or ``\\UNNNNNNNN``, so that no terminal and no log acts on them.
    """
    line = _as_text(text)[: limit + 1]
    if not line.isprintable():
        line = "".join(map(_shown, line))
    return line if len(line) <= limit else line[: max(limit - 3, 0)] + "..."


def _as_text(value: object) -> str:
    try:
        return str(value)
    except (ValueError, RecursionError):  # an int of 5,000 digits, a list of 100,000 levels
        return f"<{type(value).__name__}>"


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def decimal_text(value: Decimal) -> str:
    """A decimal in plain digits, all that count and no others."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
