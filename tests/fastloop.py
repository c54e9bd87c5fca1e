"""An event loop whose seconds are short: waits of minutes are waited out, over real sockets.

Only what is never too early can be shown with it: a busy machine makes everything later.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Selector(selectors.DefaultSelector):
    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self._speed)


class FastLoop(asyncio.SelectorEventLoop):
    """A loop on which ``speed`` seconds pass in one."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        super().__init__(_Selector(speed))

    def time(self) -> float:
        return super().time() * self._speed

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        await super().shutdown_default_executor()  # threads live in real seconds


def fast(speed: float = 200.0) -> tuple[str, dict[str, Any]]:
    """A value for the ``anyio_backend`` fixture."""
    return "asyncio", {"loop_factory": lambda: FastLoop(speed)}
