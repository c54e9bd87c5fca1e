"""Write to stdout and stderr, with progress lines below the final output.

If a stream breaks (a closed terminal or pipe), its output is discarded from then on and the work
continues, because the jobs are paid for.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Final, TextIO

from .._text import safe_text

unwritten: list[OSError] = []
"""Why stdout broke, for the exit code."""

_unread: list[TextIO] = []

_SIZE: Final = (80, 24)
_lock = threading.RLock()  # a log may be written by any thread


class Region:
    """Progress lines at the bottom of the terminal, redrawn in place.

    Other output scrolls above it, also that of stdout, which is usually the same terminal. The
    cursor is never hidden, so it need not be restored.
    """

    _open: Region | None = None

    def __init__(self) -> None:
        self._lines: Sequence[str] = ()
        self._drawn = 0
        self._before: Any = None

    @classmethod
    def current(cls) -> Region | None:
        """The one that is open."""
        return cls._open

    @property
    def size(self) -> tuple[int, int]:
        """Columns that a line may take, and lines that there may be."""
        try:
            columns, lines = os.get_terminal_size(sys.stderr.fileno())
        except (OSError, ValueError):
            columns, lines = 0, 0
        # The last column is left free: there, terminals differ in when they begin a new line.
        return max((columns or _SIZE[0]) - 1, 1), max((lines or _SIZE[1]) - 1, 1)

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the lines by these, which must fit into `size`."""
        with _lock:
            if Region._open is not self:
                Region._open = self
                # After Ctrl-Z and fg, the shell has written below the lines.
                self._before = signal.signal(signal.SIGCONT, self._forget)
            up = f"\x1b[{self._drawn}A" if self._drawn else ""
            text = "".join(f"{line}\x1b[K\n" for line in lines)
            self._lines, self._drawn = lines, len(lines)
            _put(sys.stderr, f"\r{up}{text}\x1b[J".encode(errors="backslashreplace"))

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Remove the lines while something else is written, then draw them below it."""
        lines = self._lines
        self._erase()
        yield
        self.draw(lines)

    def close(self) -> None:
        """Remove the lines. Closing twice does no harm."""
        with _lock:
            if Region._open is not self:
                return
            Region._open = None
            self._erase()
            signal.signal(signal.SIGCONT, self._before or signal.SIG_DFL)

    def _erase(self) -> None:
        if self._drawn:
            _put(sys.stderr, f"\r\x1b[{self._drawn}A\x1b[J".encode())
        self._drawn = 0

    def _forget(self, number: int, frame: FrameType | None) -> None:
        self._drawn = 0


class LogStream:
    """What the log is written to: one printable line each, above the moving lines."""

    def write(self, text: str) -> None:
        """Write some lines, each with its end."""
        lines = (safe_text(line, 4000) for line in text.splitlines())
        write(sys.stderr, "".join(f"{line}\n" for line in lines).encode())

    def flush(self) -> None:
        """Nothing is held back."""


def write(stream: TextIO, data: bytes) -> None:
    """Write at once, above the moving lines if there are any."""
    with _lock:
        region = Region.current()
        with contextlib.nullcontext() if region is None else region.aside():
            _put(stream, data)


def nobody_reads() -> bool:
    """Whether the reader of stdout has gone, as ``head`` does when it has enough."""
    return sys.stdout in _unread


def silence(stream: TextIO) -> None:
    """Discard a broken stream's output, also at the interpreter's last flush."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _put(stream: TextIO, data: bytes) -> None:
    try:
        stream.flush()
        write_all(stream.fileno(), data)
    except io.UnsupportedOperation:  # a stream in memory, put there by a program that calls us
        stream.buffer.write(data)
    except BrokenPipeError:  # the reader has what it wanted
        _unread.append(stream)
        silence(stream)
    except OSError as error:
        if stream is sys.stdout and not _is_lost_terminal(stream, error):
            unwritten.append(error)
        silence(stream)


def write_all(fd: int, data: bytes) -> None:
    """Write all bytes, also to a stream that does not block."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # another program has made a shared pipe or terminal so
            select.select([], [fd], [])


def _is_lost_terminal(stream: TextIO, error: OSError) -> bool:
    """Whether losing the data is no error: the reader closed the pipe on purpose."""
    return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
