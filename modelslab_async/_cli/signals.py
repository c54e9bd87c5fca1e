"""Run a command's coroutine so that the first signal stops it gracefully, the second at once.

The first Ctrl-C (or SIGTERM, or the end of the terminal) cancels the work: nothing more is
submitted, and the client waits for the answers to what is on its way. The second leaves at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define

from modelslab_async._engine.aio import lacks_thread

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@define(eq=False)
class _Stop:
    """Handles the signals of one run."""

    task: asyncio.Task[Any]
    first: Callable[[], None]
    last_words: Callable[[], None]
    number: int = 0

    def __call__(self, number: int) -> None:
        if self.number and number == signal.SIGHUP:
            return  # the shell and the kernel both tell of one terminal's end
        if self.number:
            self.last_words()
            os._exit(128 + self.number)
        self.number = number
        self.first()
        self.task.cancel()


def run(
    work: Coroutine[Any, Any, int],
    *,
    first: Callable[[], None] = lambda: None,
    last_words: Callable[[], None] = lambda: None,
) -> int:
    """The exit code of ``work``, or 129, 130 or 143 when a signal ended it.

    Args:
        work: what to do.
        first: called on the first signal, before the work is cancelled.
        last_words: called on the second, before the process ends.
    """
    codes: list[int] = []
    try:
        asyncio.run(_main(work, first, last_words, codes))
    except RuntimeError as error:
        # The event loop ends with a thread that ends its threads, and the system may refuse it one.
        if not (codes and lacks_thread(error)):
            raise
    return codes[0]


async def _main(
    work: Coroutine[Any, Any, int],
    first: Callable[[], None],
    last_words: Callable[[], None],
    codes: list[int],
) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        raise RuntimeError("a coroutine runs in a task")
    stop = _Stop(task, first, last_words)
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup stays in force
        loop.add_signal_handler(signal.SIGHUP, stop, signal.SIGHUP)
    # A supervisor that blocks them for itself hands that on to what it starts, unasked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_SIGNALS, signal.SIGHUP))
    try:
        codes.append(await work)
    except asyncio.CancelledError:
        if not stop.number:
            raise
        codes.append(128 + stop.number)
