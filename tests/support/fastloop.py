"""Event loops on which waits of minutes are short.

On a `FastLoop` they are waited out, over real sockets. Only what is never too early can be shown
with it: a busy machine makes everything later. That something is in time is shown in `virtual`
time, which passes only while nobody has anything to do.
"""

from __future__ import annotations

import asyncio
import selectors
from random import Random
from typing import Any

from ..simulation.loop import VirtualLoop
from ..simulation.network import Network


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


def virtual() -> tuple[str, dict[str, Any]]:
    """The same for the loop of the simulation, and its connections."""
    return "asyncio", {"loop_factory": lambda: VirtualLoop(Network(0, "key"), Random(0))}
