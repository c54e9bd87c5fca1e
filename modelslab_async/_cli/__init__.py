"""The command line. Parsing and `--help` import no event loop, network or display code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from modelslab_async import __version__

from .balance import balance
from .batch import batch
from .completion import completion
from .config import config
from .console import PROGRAM
from .demo import demo
from .doctor import doctor
from .error_mapping import run_command
from .fetch import fetch
from .generate import generate
from .reconcile import reconcile
from .resume import resume
from .sandbox import sandbox
from .skip import skip
from .status import status
from .verify import verify
from .voices import voices
from .webhook import webhook

__all__ = ["commands", "run"]


_ENDPOINTS = {
    "speak": "Speak texts in a voice, one file for each.",
    "sfx": "Make sound effects, one file for each prompt.",
    "song": "Make songs with a voice, one file for each prompt.",
    "lyrics": "Write lyrics, one file for each prompt.",
    "cover": "Have songs sung by another voice.",
    "isolate": "Take the voice out of recordings.",
    "transcribe": "Write down what is said in recordings.",
    "dub": "Have videos spoken in another language.",
}


class _Later(click.Command):
    """A command whose options are made when it is called: all of them would slow down each help."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        from .endpoints import command

        name = str(self.name)
        return command(name, _ENDPOINTS[name]).make_context(info_name, args, parent, **extra)


@click.group(
    name=PROGRAM,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "MODELSLAB_ASYNC",
        "show_default": True,
    },
)
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM)
def commands() -> None:
    """Music from text by ModelsLab: every file on disk once, every job paid for once.

    \b
    Examples:
      modelslab-async demo
      modelslab-async generate --sandbox "lo-fi hip hop, 82 bpm" -o song.wav
      modelslab-async generate "rock music from the 90s" -o song.wav

    The first two need no account. The last one needs MODELSLAB_API_KEY. Requests go to the API
    only: no telemetry, no update check.
    """


for command in (
    *(demo, generate, fetch),
    *(_Later(name, short_help=about) for name, about in _ENDPOINTS.items()),
    voices,
    *(batch, resume, status, verify, reconcile, skip, webhook),
    *(balance, sandbox, doctor, config, completion),
):
    commands.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code of the process."""
    return run_command(commands, list(arguments))
