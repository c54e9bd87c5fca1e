"""Write data (paths and JSON) to stdout, and everything else to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from .streams import write

PROGRAM = "modelslab-async"
STOPPING = "stopping: waiting for replies to requests already sent (Ctrl-C again to quit now)"
COMPLETION_VARIABLE = "_MODELSLAB_ASYNC_COMPLETE"
_PACKAGE = "modelslab_async"
_PLAIN = ("", "dumb", "unknown")


@frozen(kw_only=True)
class Console:
    """Where a command writes, how much, and in which form.

    Attributes:
        json: one JSON object on stdout instead of lines.
        quiet: 1: warnings and errors only; 2: errors only.
        verbose: 1: the library's log; 2: also its debug log, and tracebacks.
        no_color: never colour, whatever the environment says.
    """

    json: bool = False
    quiet: int = 0
    verbose: int = 0
    no_color: bool = False

    def info(self, text: str) -> None:
        """Progress and advice; not with ``-q`` or ``--json``."""
        if not self.quiet and not self.json:
            self._tell(text)

    def warn(self, text: str) -> None:
        """A warning; also with ``-q``, not with ``-qq``."""
        if self.quiet > 1:
            return
        if self.json:
            self.error_json({"warning": text})
        else:
            self._tell(f"{self._styled('warning', 'yellow')}: {text}")

    def error(self, text: str, hint: str = "") -> None:
        """An error, and what to do about it; always."""
        self._tell(f"{self._styled('error', 'red')}: {text}")
        if hint:
            self._tell(f"{self._styled('hint', 'cyan')}: {hint}")

    def always(self, text: str) -> None:
        """A line that is printed whatever the options are."""
        self._tell(text)

    def print(self, line: str | bytes) -> None:
        """One line of data."""
        write(sys.stdout, (_encoded(line) if isinstance(line, str) else line) + b"\n")

    def print_json(self, value: Mapping[str, Any]) -> None:
        """One JSON object, as data."""
        self.print(json.dumps(value))

    def error_json(self, value: Mapping[str, Any]) -> None:
        """One JSON object about an error, or a warning."""
        self._tell(json.dumps(value))

    @property
    def animated(self) -> bool:
        """Whether stderr is a terminal that can redraw lines, and nothing else writes to it."""
        plain = os.environ.get("TERM", "") in _PLAIN or self.quiet or self.verbose or self.json
        return sys.stderr.isatty() and not plain

    @property
    def colored(self) -> bool:
        """``NO_COLOR`` and ``--no-color`` win, then ``FORCE_COLOR``, then what stderr is."""
        if self.no_color or os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return sys.stderr.isatty() and os.environ.get("TERM", "") not in _PLAIN

    def _styled(self, word: str, color: str) -> str:
        return click.style(word, fg=color, bold=True) if self.colored else word

    def _tell(self, text: str) -> None:
        write(sys.stderr, _encoded(text) + b"\n")


def invoked_as(program: str, interpreter: str) -> tuple[str, ...]:
    """Return the words that start this program as it was started, from the same directory.

    Args:
        program: ``sys.argv[0]``.
        interpreter: ``sys.executable``.
    """
    path = Path(program)
    if path.name == "__main__.py" and path.parent.name == _PACKAGE:
        python = "python" if shutil.which("python") == interpreter else interpreter
        return (python, "-m", _PACKAGE)
    found = shutil.which(PROGRAM)
    is_on_path = found is not None and path.exists() and path.samefile(found)
    return (PROGRAM,) if path.name != PROGRAM or is_on_path else (program,)


_WORDS = invoked_as(sys.argv[0], sys.executable)
INVOCATION = shlex.join(_WORDS)
"""How this program was started, as the beginning of a command that is printed."""


def command_line(*words: str) -> str:
    """A command that works as it stands where this process was started."""
    return shlex.join([*_WORDS, *words])


def help_command(path: str) -> str:
    """The command that prints the help of this command.

    Args:
        path: how click calls the command, beginning with the name of the program.
    """
    return f"{INVOCATION}{path.removeprefix(PROGRAM)} --help"


def operand(path: object) -> str:
    """A path as an argument of a command, not to be taken for an option."""
    text = f"{path}"
    return f"./{text}" if text.startswith("-") else text


def fetch_command(ids: Sequence[str], options: Sequence[str] = ()) -> str:
    """The command that goes on with jobs. Servers choose the ids, and none may become an option."""
    words = [*ids, *options]
    if any(one.startswith("-") for one in ids):
        words = [*options, "--", *ids]
    return command_line("fetch", *words)


def _encoded(line: str) -> bytes:
    """A line with a path in it, which may be no text."""
    with contextlib.suppress(UnicodeEncodeError):
        return os.fsencode(line)
    with contextlib.suppress(UnicodeEncodeError):  # a locale knows no such letters; terminals do
        return line.encode(errors="surrogateescape")
    return line.encode(errors="backslashreplace")


def json_by_default() -> bool:
    """Whether the environment asks for JSON, as ModelsLab's own command line reads it."""
    return os.environ.get("MODELSLAB_OUTPUT") == "json"


def can_ask(*, no_input: bool) -> bool:
    """Whether somebody can answer a question: there is a terminal, and no option forbids it."""
    return not no_input and sys.stdin.isatty() and sys.stderr.isatty()


def confirm_payment(what: str, command: str, *, no_input: bool, parts: Sequence[str] = ()) -> None:
    """Ask once before jobs are paid for.

    Args:
        what: what would be paid for.
        command: what costs nothing with ``--sandbox``.
        no_input: never ask.
        parts: of what would be paid for, one in each line.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.ClickException: the answer is no.
    """
    if not can_ask(no_input=no_input):
        raise click.UsageError(f"{what}: pass --yes to pay without a question")
    question = "\n".join([what, *parts, ""]) if parts else f"{what}. "
    if not click.confirm(f"{question}Continue?", err=True):
        raise click.ClickException(
            f"nothing was sent; {INVOCATION} {command} --sandbox costs nothing"
        )
