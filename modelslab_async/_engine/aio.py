"""Helpers around the running event loop: its clock, time limits, threads, shielded waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from typing import Generic, Self, TypeVar

import anyio

from ..errors import ConfigurationError

T = TypeVar("T")


def now() -> float:
    """Return the running event loop's time in seconds. Every wait is measured by this clock."""
    return asyncio.get_running_loop().time()


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        ConfigurationError: there is none; this may be trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "modelslab_async needs a running asyncio event loop, and there is none; from trio, run "
            "it in a thread: await trio.to_thread.run_sync(lambda: asyncio.run(main()))"
        ) from None


def runs_on(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether this code runs on that event loop, not in a thread or on another loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


class Signal:
    """Wakes all its waiters on each `notify`. It costs next to nothing without waiters."""

    __slots__ = ("_waiting", "generation")

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self.generation = 0

    def notify(self) -> None:
        """Wake all current waiters."""
        self.generation += 1
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            _wake(turn)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the next notification, at most ``seconds``; ``None``: forever."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _wake, turn)
        self._waiting.append(turn)
        try:
            await turn
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
            if timer is not None:
                timer.cancel()


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


_TICKS = 8
_LONGEST_TICK = 1.0
_STOPPED = 2.0  # a tick this late means that the process was stopped, not that it was busy
GRACE = 0.25
"""Seconds to read data that arrived while the loop was blocked."""


class RunningClock:
    """Like `now`, but time during which this process was stopped does not count.

    A context manager: inside it, a periodic tick detects stops.
    """

    def __enter__(self) -> Self:
        self._stopped = 0.0
        self._due = now()
        self._tick()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def __call__(self) -> float:
        """Return the running time in seconds."""
        return now() - self._stopped - self._late()

    def _late(self) -> float:
        late = now() - self._due
        return late if late > _STOPPED else 0.0

    def _tick(self) -> None:
        self._stopped += self._late()
        loop = asyncio.get_running_loop()
        self._due = loop.time() + _LONGEST_TICK
        self._timer = loop.call_at(self._due, self._tick)


@asynccontextmanager
async def time_limit(seconds: float, *, grace: float = 0.0) -> AsyncIterator[None]:
    """Like `asyncio.timeout`, but time during which this process was stopped does not count.

    Ctrl-Z, a paused container or a sleeping laptop makes the clock jump by minutes that the code
    under the limit never had.

    Args:
        seconds: limit on running time.
        grace: extra seconds at the end, to read data that has arrived meanwhile.
    """
    loop = asyncio.get_running_loop()
    left = seconds
    tick = 0.0
    timer: asyncio.TimerHandle | None = None

    def next_tick() -> None:
        nonlocal left, tick, timer
        left -= tick  # not the elapsed time: this callback may be late
        tick = min(left, seconds / _TICKS, _LONGEST_TICK)
        if left > 1e-6:
            timer = loop.call_later(tick, next_tick)
        else:
            limit.reschedule(loop.time() + grace)

    async with asyncio.timeout(None) as limit:
        next_tick()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()


async def wait_shielded(future: asyncio.Future[T]) -> asyncio.CancelledError | None:
    """Wait until a future is done even if cancelled; return the cancellation, if any.

    `asyncio.wait` never cancels what it waits for, which protects against `Task.cancel`. The shield
    protects against anyio's scopes: their tasks get the result and are cancelled at a later await.
    """
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled


async def in_thread(function: Callable[[], T], executor: Executor | None = None) -> T:
    """Run blocking code in a thread. A cancelled caller continues only when the code has ended.

    Otherwise a file could be closed under a thread that still writes to it. The loop provides the
    thread, so that the tests' simulated loop can control it. If the system has no thread left, the
    code runs on the event loop: blocking it is better than losing a paid file.

    Args:
        function: the code to run.
        executor: where to run it; ``None``: the loop's default executor.
    """
    call = _Once(function)
    try:
        work = asyncio.get_running_loop().run_in_executor(executor, call)
    except RuntimeError as error:
        if not lacks_thread(error):
            raise
        return call()
    cancelled = await wait_shielded(work)
    if cancelled is not None:
        if not work.cancelled():
            work.exception()  # mark it as retrieved, else asyncio logs "never retrieved"
        raise cancelled
    return work.result()


def lacks_thread(error: RuntimeError) -> bool:
    """Return whether the system cannot start another thread (container, memory or user limit)."""
    return "start new thread" in str(error)


class _Once(Generic[T]):
    """Calls a function once; further calls return the result of the first.

    An executor that could not start a thread for a function still keeps it queued, and runs it as
    soon as another of its threads is free.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._functions = [function]
        self._outcome: Future[T] = Future()

    def __call__(self) -> T:
        try:
            function = self._functions.pop()
        except IndexError:
            return self._outcome.result()
        try:
            self._outcome.set_result(function())
        except BaseException as error:
            self._outcome.set_exception(error)
            raise
        return self._outcome.result()
