"""The command line. Parsing and `--help` import no event loop, network or display code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module

import click

from modelslab_async import __version__

from .console import PROGRAM
from .error_mapping import run_command
from .help import Later, Root

__all__ = ["commands", "run"]

_SECTIONS = {
    "Main commands": {
        "demo": "Hear music now: no account, no network.",
        "generate": "Generate music, one file for each prompt.",
        "batch": "Generate music for each row of a manifest.",
        "plan": "Show what a manifest asks for and costs.",
        "resume": "Continue a batch where it stopped.",
        "status": "Show the state of a batch's rows.",
        "play": "Play files, or those of a directory.",
        "listen": "Hear a batch in the browser; keep and reject.",
        "picks": "Show, print and copy what was kept.",
        "reroll": "Make new takes of what was rejected.",
    },
    "Speech, songs and sounds": {
        "speak": "Speak texts in a voice, one file for each.",
        "sfx": "Make sound effects, one file for each prompt.",
        "song": "Make songs with a voice, one file for each prompt.",
        "lyrics": "Write lyrics, one file for each prompt.",
        "cover": "Have songs sung by another voice.",
        "isolate": "Take the voice out of recordings.",
        "transcribe": "Write down what is said in recordings.",
        "dub": "Have videos spoken in another language.",
        "voices": "List the voices for --voice-id and --model-id.",
    },
    "Jobs and batches": {
        "fetch": "Wait for running jobs, and download their files.",
        "check": "Find faults of sound files, and marks in them.",
        "export": "Copy a batch's files at one loudness and format.",
        "verify": "Find missing and changed files of a batch.",
        "reconcile": "Find jobs that may exist and be paid for.",
        "skip": "Leave out rows that were not sent yet.",
        "webhook": "Receive webhooks for a batch that does not run.",
    },
    "Setup": {
        "balance": "Show what is left in the account's wallet.",
        "auth": "Keep an API key in a file of its own.",
        "config": "Show and change settings.",
        "mcp": "Serve tools that make music to an AI client.",
        "doctor": "Check this installation.",
        "probe": "Report how the API behaves where its documents do not say.",
        "help": "Show the documentation of a topic.",
        "schema": "Print JSON Schemas of what commands print.",
        "sandbox": "Serve a sandbox of the API until Ctrl-C.",
        "completion": "Print the completion script for a shell.",
    },
}
_OF_AN_ENDPOINT = frozenset(_SECTIONS["Speech, songs and sounds"]) - {"voices"}


def _load(name: str, about: str) -> click.Command:
    if name in _OF_AN_ENDPOINT:
        from .endpoints import command

        return command(name, about)
    if name == "help":
        from .pages import pages

        return pages
    found: click.Command = getattr(import_module(f".{name}", __name__), name)
    return found


commands = Root(
    name=PROGRAM,
    sections={
        title: [Later(name, about, partial(_load, name, about)) for name, about in section.items()]
        for title, section in _SECTIONS.items()
    },
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "MODELSLAB_ASYNC",
        "show_default": True,
    },
    help=f"""Music from text by ModelsLab: every file on disk once, every job paid for once.

    \b
    Examples:
      {PROGRAM} demo
      {PROGRAM} generate --sandbox "lo-fi hip hop, 82 bpm" -o song.wav
      {PROGRAM} generate "rock music from the 90s" -o song.wav

    The first two need no account. The last one needs MODELSLAB_API_KEY. Requests go to the API
    only: no telemetry, no update check.
    """,
    epilog="""\b
    Environment:
      MODELSLAB_API_KEY    The API key; MODELS_LAB_API_KEY is read, too.
      MODELSLAB_BASE_URL   The API's base URL.
      MODELSLAB_PROFILE    The profile whose key is used.
      MODELSLAB_OUTPUT     json: the same as --json.
      MODELSLAB_ASYNC_...  Any other option: MODELSLAB_ASYNC_BATCH_LIMIT=5.
      HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, NO_COLOR, FORCE_COLOR: as everywhere.

    Documentation: modelslab-async help. The API's own: https://docs.modelslab.com
    """,
    no_args_is_help=True,
    params=[],
)
commands = click.version_option(__version__, "-V", "--version", prog_name=PROGRAM)(commands)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code of the process."""
    return run_command(commands, list(arguments))
