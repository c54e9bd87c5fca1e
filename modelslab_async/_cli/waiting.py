"""Report why jobs wait, whenever the reason changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._text import duration_text

if TYPE_CHECKING:
    from modelslab_async import JobEvent

_SHORT = 1.0
"""Seconds; a shorter wait is over before it could be read."""

_AGAIN = 60.0
"""Seconds after which the same reason is news again."""


class Waits:
    """The reason for which jobs wait now, of the events of a client.

    Args:
        say: is called with an event whose reason is news.
    """

    def __init__(self, say: Callable[[JobEvent], None]) -> None:
        self._say = say
        self._said: dict[str, float] = {}
        self._reason = ""
        self._until = 0.0

    def observe(self, event: JobEvent) -> None:
        """Note one event."""
        if event.kind != "waiting":
            if event.kind in ("accepted", "finished", "saved"):
                self._reason = ""
            return
        if event.seconds is not None and event.seconds < _SHORT:
            return
        now = time.monotonic()
        self._reason, self._until = event.reason, now + (event.seconds or 0.0)
        if now - self._said.get(event.reason, -_AGAIN) >= _AGAIN:
            self._said[event.reason] = now
            self._say(event)

    @property
    def words(self) -> str:
        """The reason, and how long it still holds; empty while all moves."""
        left = self._until - time.monotonic()
        return f"{self._reason}, {_next(left)}" if self._reason and left > -_SHORT else ""


def told(event: JobEvent) -> str:
    """Describe a wait."""
    return f"{event.reason}, {_next(event.seconds or 0.0)}"


def _next(seconds: float) -> str:
    return f"next try in {duration_text(max(seconds, 0.0))}"
