"""Format values, foreign text, durations and sizes for messages and file names."""

from __future__ import annotations

import re
import reprlib
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from decimal import Decimal

_MAX_ITEMS = 20


def shown(value: object, limit: int = 80) -> str:
    """Return the start of a value's ``repr``, at most ``limit`` characters.

    Reads only that much of a long text; ``repr`` alone would copy megabytes before the cut.
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
            return f"<{type(x).__name__} of {len(x)} items>"  # the base class sorts all items
        try:
            return super().repr1(x, level)
        except Exception:  # noqa: BLE001  an int of 5,000 digits, or a foreign __repr__
            return f"<{type(x).__name__}>"


_WINDOWS_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)


_SLUG_INPUT: Final = 4096
# Invisible letters and marks that some file systems ignore when they compare names. All other such
# characters have the category Cf.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def slug(text: str, limit: int = 60, *, ascii_only: bool = False) -> str:
    """Return a file name component made from foreign text, at most ``limit`` bytes of UTF-8.

    The result contains lower-case letters and digits of all scripts, their marks, and ``._-``.
    Invisible characters are removed; any other character becomes ``-``. The result is normalised
    (NFKC, so also NFC), never starts with a dot or a dash, and is never the name of a Windows
    device. If nothing usable is left, it is ``"track"`` (cut to ``limit``).

    Args:
        text: foreign text.
        limit: bytes, at least 1.
        ascii_only: keep only ``[a-z0-9._-]``: remove accents and the letters of other scripts.
    """
    letters = (_ascii if ascii_only else _letters)(text[:_SLUG_INPUT])
    words = re.sub(r"\.{2,}", ".", re.sub(" +", "-", letters))
    name = _cut(words.strip(".-"), limit) or "track"[:limit]
    return _cut(f"_{name}", limit) if is_device(name) else name


def is_device(name: str) -> bool:
    """Return whether Windows opens a device instead of a file under this name."""
    return folded(name).partition(".")[0] in _WINDOWS_DEVICES


def folded(name: str) -> str:
    """Return a name in the form in which the most lenient file system compares it.

    The form is normalised and has no case. The text is upper-cased first, because tables such as
    exFAT's treat more pairs of letters as equal than case folding does.
    """
    capitals = unicodedata.normalize("NFKC", name).upper()
    return unicodedata.normalize("NFKC", capitals.casefold())


def _ascii(text: str) -> str:
    """Replace every character outside ``[a-z0-9._-]`` by a space, after removing accents."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9._-]", " ", bare)


def _letters(text: str) -> str:
    """Replace every character by a space, except letters, digits, their marks and ``._-``."""
    visible = "".join(one for one in text if unicodedata.category(one) != "Cf")
    lower = unicodedata.normalize("NFKC", _INVISIBLE.sub("", visible)).lower()
    kept, can_bear_marks = [], False
    for one in unicodedata.normalize("NFKC", lower):
        kind = unicodedata.category(one)[0]
        can_bear_marks = kind in "LN" or (kind == "M" and can_bear_marks)
        kept.append(one if can_bear_marks or one in "._-" else " ")
    return "".join(kept)


def _cut(name: str, limit: int) -> str:
    """Return the start of a name; it never ends within a character or with a dot or dash."""
    start = name.encode()[:limit].decode(errors="ignore")
    end = len(start)
    while 0 < end < len(name) and unicodedata.category(name[end])[0] == "M":
        end -= 1
    return (start[:end] or start).rstrip(".-")


def safe_text(text: object, limit: int = 300) -> str:
    """Return foreign text as one printable line of at most ``limit`` characters.

    Longer text ends with ``...``. Control characters, line ends, bidirectional and zero-width
    marks, unusual spaces and surrogates are escaped as ``\\xNN``, ``\\uNNNN`` or ``\\UNNNNNNNN``,
    so that terminals and logs cannot interpret them.
    """
    line = _as_text(text)[: limit + 1]
    if not line.isprintable():
        line = "".join(map(_escaped, line))
    return line if len(line) <= limit else line[: max(limit - 3, 0)] + "..."


def _as_text(value: object) -> str:
    try:
        return str(value)
    except (ValueError, RecursionError):  # an int of 5,000 digits, a list of 100,000 levels
        return f"<{type(value).__name__}>"


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def decimal_text(value: Decimal) -> str:
    """Format a decimal without an exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_SPANS: Final = ((86_400, "d", 72 * 3600), (3600, "h", 3600), (60, "min", 120), (1, "s", 0))
_SIZES: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))
_SMALL: Final = 50_000  # bytes; a part of a megabyte would read 0.0 MB


def duration_text(seconds: float) -> str:
    """Format a duration in its one or two largest units: ``90 s``, ``41 h 40 min``."""
    for index, (size, unit, least) in enumerate(_SPANS[:-1]):
        smaller, name, _ = _SPANS[index + 1]
        count, rest = divmod(round(seconds / smaller), size // smaller)
        if seconds >= least:
            return f"{count} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{seconds:.0f} s"


def size_text(size: float) -> str:
    """Format bytes in decimal units: ``11.5 MB``, ``19.2 GB``, and ``12.3 kB`` for a text."""
    if 0 < size < _SMALL:
        return f"{size / 1e3:.1f} kB" if size >= 1e3 else f"{size:.0f} bytes"
    scale, unit = next((one for one in _SIZES if size >= one[0]), _SIZES[-1])
    return f"{size / scale:.1f} {unit}"


def plural(count: int, word: str, many: str = "") -> str:
    """Format a count with its noun: ``1 row``, ``2 rows``. ``many`` is an irregular plural."""
    return f"{count} {word if count == 1 else many or f'{word}s'}"
