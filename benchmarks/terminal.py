"""Draw what a person sees of a batch: ``python -m benchmarks.terminal > benchmarks/terminal.svg``.

The commands run on a real pseudo-terminal, against a sandbox, and its screen is drawn as they leave
it. The picture in the README is made by this.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pyte
from rich.console import Console
from rich.text import Text

COLUMNS, LINES = 92, 24
PROMPTS = ("rock music from the 90s", "slow ambient pads, no drums", "sitar, tabla")
COMMANDS = (
    "modelslab-async batch prompts.txt -o album --sandbox",
    "modelslab-async batch prompts.txt -o album --sandbox",
    "modelslab-async status album",
)


def main() -> None:
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    with TemporaryDirectory() as directory:
        Path(directory, "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
        for command in COMMANDS:
            stream.feed(f"\x1b[32m$\x1b[0m {command}\r\n".encode())
            show(command, directory, stream)
    console = Console(record=True, width=COLUMNS, file=StringIO())
    for line in range(screen.cursor.y):
        console.print(drawn(screen, line), no_wrap=True)
    picture = console.export_svg(title="modelslab-async")
    # The picture works by itself: it names no font that a browser would have to fetch.
    sys.stdout.write(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


def show(command: str, directory: str, stream: pyte.ByteStream) -> None:
    """Run a command on a terminal, and feed what it writes to the screen."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    words = [sys.executable, "-m", *command.replace("-", "_", 1).split()]
    env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        words, cwd=directory, env=env, stdin=slave, stdout=slave, stderr=slave
    ) as running:
        os.close(slave)
        while data := _read(master):
            stream.feed(data)
    os.close(master)
    if running.returncode:
        raise SystemExit(f"{command} ended with {running.returncode}")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux says so when the other end has closed
        return b""


def drawn(screen: pyte.Screen, line: int) -> Text:
    """One line of the screen with its colours."""
    text = Text()
    for column in range(COLUMNS):
        char = screen.buffer[line][column]
        color = "" if char.fg == "default" else char.fg.replace("brown", "yellow")
        if len(color) == 6 and not color.isalpha():  # not a name
            color = f"#{color}"
        text.append(char.data, f"{'bold ' if char.bold else ''}{color}".strip())
    text.rstrip()
    return text


if __name__ == "__main__":
    main()
