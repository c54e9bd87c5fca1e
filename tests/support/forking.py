"""Run the command as processes that are forked from one which has everything loaded.

Most of what a short command costs is the start of Python. A fork is a process as real: its own
arguments, environment, folder, files, signals and exit code. What only a start can spoil is shown
by the tests that do start one: those of the README, of the help's examples, and `started`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self, TypeAlias

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
# When the suite's coverage is measured, it begins with the loading.
_KEPT = {
    name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_CONFIG") if name in os.environ
}

Three: TypeAlias = tuple[int, int, int]


def complaints(stderr: str) -> list[str]:
    """What a process says but for the machine it is on: files in memory, a step that took long."""
    return [
        line
        for line in stderr.splitlines()
        if "is in memory" not in line and not line.startswith("Executing <")
    ]


class Fork:
    """A command that runs. Leaving its context kills it, unless it has ended."""

    def __init__(self, pid: int, keeper: socket.socket) -> None:
        self._pid = pid
        self._keeper = keeper
        self._code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                self.send(signal.SIGKILL)
            self.wait()
        self._keeper.close()

    def send(self, number: signal.Signals) -> None:
        os.kill(self._pid, number)

    def wait(self) -> int:
        """The exit code, below nought for a signal, once it has ended."""
        self._code = int(self._keeper.recv(64))
        return self._code


def fork(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], three: Three, *flags: str
) -> Fork:
    """Start the command with these as its standard input, output and error.

    Args:
        flags: those of the interpreter.
    """
    order = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": dict(env)})
    keeper, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        socket.send_fds(_loaded(flags), [order.encode()], [*three, theirs.fileno()])
    keeper.settimeout(PATIENCE)
    return Fork(int(keeper.recv(64)), keeper)


def forked(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: str, *flags: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    with _file(stdin) as read, _file() as written, _file() as told:
        three = (read.fileno(), written.fileno(), told.fileno())
        with fork(arguments, cwd, env, three, *flags) as process:
            code = process.wait()
        return subprocess.CompletedProcess(arguments, code, _text(written), _text(told))


@contextlib.contextmanager
def _file(text: str = "") -> Iterator[IO[bytes]]:
    """A file, which does not fill up as a pipe does."""
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        yield file


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@functools.cache
def _loaded(flags: tuple[str, ...]) -> socket.socket:
    """Where a process takes orders that has loaded the command under these flags."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, *flags, "-m", "tests.support.preloaded", str(theirs.fileno())],
            cwd=ROOT,
            env={**_KEPT, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # this comes first, and ends the process
    return ours
