"""Show values of any kind in messages: what is shown costs no more than what is shown."""

from __future__ import annotations

import reprlib

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
