"""A terminal of some size on which a command runs, and what a person sees on it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyte

from ..cli.test_cli import environment
from .forking import Fork, fork

BEFORE = "$ a line of an earlier command"
HISTORY = 10_000
NOTHING: Mapping[str, str] = {}


class Terminal:
    """What a command wrote to its terminal, rendered.

    Attributes:
        raw: all of it, as it came.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self._master, self.slave = pty.openpty()
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, size)
        self._screen = pyte.HistoryScreen(columns, lines, history=HISTORY)
        self._stream = pyte.ByteStream(self._screen)
        self._columns = columns
        self.raw = b""
        self.feed(f"{BEFORE}\r\n".encode())

    def feed(self, data: bytes) -> None:
        self.raw += data
        self._stream.feed(data)

    def read(self) -> bool:
        """Take in what comes next; false at the end."""
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says so when the other end has closed
            return False
        self.feed(data)
        return bool(data)

    def until(self, seen: Callable[[list[str]], bool]) -> None:
        """Read until the screen is like this."""
        while not seen(self.lines()):
            assert self.read(), self.lines()

    def hang_up(self) -> None:
        """The terminal goes away."""
        os.close(self._master)

    def lines(self) -> list[str]:
        """The scrollback and the screen, without empty lines at the end."""
        past = ["".join(row[at].data for at in range(self._columns)) for row in self._past()]
        shown = [line.rstrip() for line in [*past, *self._screen.display]]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def _past(self) -> Iterator[dict[int, pyte.screens.Char]]:
        yield from self._screen.history.top

    @property
    def cursor_hidden(self) -> bool:
        hidden: bool = self._screen.cursor.hidden
        return hidden


@contextmanager
def on_screen(
    tmp_path: Path,
    *arguments: str,
    columns: int = 80,
    lines: int = 24,
    stdout: int | None = None,
    environ: Mapping[str, str] = NOTHING,
) -> Iterator[tuple[Terminal, Fork]]:
    """A command whose stdin, stdout and stderr are one terminal, but for another ``stdout``."""
    terminal = Terminal(columns, lines)
    slave = terminal.slave
    env = environment(tmp_path, TERM="xterm", **environ)
    three = (slave, slave if stdout is None else stdout, slave)
    with fork(arguments, tmp_path, env, three) as process:
        os.close(slave)
        yield terminal, process


def shown_by(
    tmp_path: Path,
    *arguments: str,
    columns: int = 80,
    stdout: int | None = None,
    environ: Mapping[str, str] = NOTHING,
) -> tuple[int, list[str]]:
    """The exit code of a command, and what stands on its terminal and above it in the end."""
    with on_screen(tmp_path, *arguments, columns=columns, stdout=stdout, environ=environ) as (
        terminal,
        process,
    ):
        while terminal.read():
            pass
        code = process.wait()
        assert not terminal.cursor_hidden
        return code, terminal.lines()
