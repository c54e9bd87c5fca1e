"""The sandbox's clock: the event loop's clock plus the seconds added by `advance`."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress


class Clock:
    """A running clock that can be moved forward, never back."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._offset = 0.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self._loop.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`; every task in `until` rechecks the time at once."""
        if seconds < 0:
            raise ValueError(f"the sandbox's clock only moves forward, not by {seconds} s")
        self._offset += seconds
        self.wake()

    def wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def until(self, moment: float) -> None:
        """Wait until `moment`, which may be infinite."""
        while (left := moment - self.now()) > 0:
            await self.pause(left)

    async def pause(self, seconds: float) -> None:
        """Wait for `seconds`, or until the next call of `advance` or `wake`."""
        moved = self._moved
        with suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await moved.wait()
