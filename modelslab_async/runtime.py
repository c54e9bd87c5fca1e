"""What we ask of the running event loop: its time, a thread, and to see things through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


def now() -> float:
    """The time of the running event loop, in seconds: the one clock that waits are measured by."""
    return asyncio.get_running_loop().time()


async def to_the_end(future: asyncio.Future[T]) -> asyncio.CancelledError | None:
    """Wait until a future is done, also when cancelled meanwhile; then say by what, if so.

    `asyncio.shield` stands against `Task.cancel`; the anyio shield against anyio's scopes, which
    would otherwise cancel the waiting again on every turn of the loop.
    """
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled


async def in_thread(function: Callable[[], T], limiter: anyio.CapacityLimiter) -> T:
    """Run blocking code in a thread. A cancelled caller leaves only when the code has ended.

    Otherwise a file could be closed under a thread that still writes to it.
    """
    task = asyncio.ensure_future(anyio.to_thread.run_sync(function, limiter=limiter))
    cancelled = await to_the_end(task)
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # nobody is left to tell; unasked for, it would be logged as lost
        raise cancelled
    return task.result()
