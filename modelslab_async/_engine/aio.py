"""What we ask of the running event loop: its time, a thread, and to see things through."""

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
    """The time of the running event loop, in seconds: the one clock that waits are measured by."""
    return asyncio.get_running_loop().time()


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop that runs here.

    Raises:
        ConfigurationError: none does: this may be trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "modelslab_async needs asyncio, and no asyncio event loop runs here; from trio, run it "
            "in a thread: await trio.to_thread.run_sync(lambda: asyncio.run(main()))"
        ) from None


def runs_on(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this code runs on that event loop, and not in a thread or on another one."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


class Signal:
    """Wakes all who wait for it, again and again. While nobody waits it is next to nothing."""

    __slots__ = ("_waiting", "generation")

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self.generation = 0

    def notify(self) -> None:
        """Wake all who wait now."""
        self.generation += 1
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            _wake(turn)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the next notification, or for so long; ``None``: for ever."""
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
_STOPPED = 2.0  # a tick that is so much too late was not held up by work
GRACE = 0.25
"""Seconds to read what came while the loop stood still."""


class RunningClock:
    """Like `now`, but time for which this process was stopped does not count.

    A context manager: it ticks meanwhile, by which a stop is noticed.
    """

    def __enter__(self) -> Self:
        self._stopped = 0.0
        self._due = now()
        self._tick()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def __call__(self) -> float:
        """Seconds."""
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
    """Like `asyncio.timeout`, but time for which this process was stopped does not count.

    Ctrl-Z, a paused container and a sleeping laptop take minutes off every clock at once, and
    nobody has waited for them.

    Args:
        seconds: of running time.
        grace: more seconds, for what has arrived meanwhile to be read.
    """
    loop = asyncio.get_running_loop()
    left = seconds
    tick = 0.0
    timer: asyncio.TimerHandle | None = None

    def next_tick() -> None:
        nonlocal left, tick, timer
        left -= tick  # however late this is
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
    """Wait until a future is done, also when cancelled meanwhile; then say by what, if so.

    `asyncio.wait` never cancels what it waits for, and so stands against `Task.cancel`; the shield
    against anyio's scopes, whose callers then get what they waited for, and are cancelled later.
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
    """Run blocking code in a thread. A cancelled caller leaves only when the code has ended.

    Otherwise a file could be closed under a thread that still writes to it. The thread is the
    loop's to give, so a loop that makes its own time can do the work in that time. Where the system
    gives none, the work is done here: late answers are better than a paid file that nobody writes.

    Args:
        function: what to run.
        executor: where; ``None``: among the loop's own threads.
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
            work.exception()  # nobody is left to tell; unasked for, it would be logged as lost
        raise cancelled
    return work.result()


def lacks_thread(error: RuntimeError) -> bool:
    """Whether the system refuses another thread: a limit of a container, of memory, of a user."""
    return "start new thread" in str(error)


class _Once(Generic[T]):
    """A call that is made once, whoever makes it first; the others are given what came of it.

    A pool that could not start a thread for a call keeps the call all the same, and makes it as
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
