"""An event loop whose seconds are short: waits of minutes are waited out, over real sockets.

Only what is never too early can be shown with it: a busy machine makes everything later.
"""

from __future__ import annotations

import asyncio
import selectors

SPEED = 200.0


class _Selector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / SPEED)


class FastLoop(asyncio.SelectorEventLoop):
    """A loop on which 200 seconds pass in one."""

    def __init__(self) -> None:
        super().__init__(_Selector())

    def time(self) -> float:
        return super().time() * SPEED


FAST = ("asyncio", {"loop_factory": FastLoop})
"""For the ``anyio_backend`` fixture."""
