"""Standard input that can be hung up: a server waits for its next line in a thread.

Such a wait cannot be cancelled, so a signal would end the process only with the client's next line.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_CHUNK: Final = 65536


@contextmanager
def hangable_stdin() -> Iterator[Callable[[], None]]:
    """Let ``sys.stdin`` be a copy of standard input, which the given function ends."""
    real = sys.stdin
    read_end, write_end = os.pipe()
    woken, wake = os.pipe()
    copying = threading.Thread(
        target=_copy, args=(real.fileno(), write_end, woken), name="stdin", daemon=True
    )
    copying.start()

    def hang_up() -> None:
        os.write(wake, b"x")

    try:
        with os.fdopen(read_end, "r", encoding="utf-8", errors="replace") as copy:
            sys.stdin = copy
            yield hang_up
    finally:
        sys.stdin = real
        hang_up()
        copying.join()
        os.close(wake)
        os.close(woken)


def _copy(source: int, sink: int, woken: int) -> None:
    """Copy until the source ends, nobody reads any more, or something can be read from ``woken``.

    The sink is closed here alone: elsewhere, its number could be another file's by the next write.
    """
    try:
        while True:
            ready, _, _ = select.select([source, woken], [], [])
            if woken in ready:
                return
            data = os.read(source, _CHUNK)
            if not data:
                return
            while data:
                data = data[os.write(sink, data) :]
    except OSError:
        return  # the terminal or the reader is gone
    finally:
        os.close(sink)
