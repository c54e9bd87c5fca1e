"""Which programs run for saved files: players, and what ``--exec`` names."""

from __future__ import annotations

import shlex
import shutil

import click

PATH = "{path}"
"""Stands for the file in the words of a program."""

# Those that play most formats come first.
_PLAYERS = {
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error"),
    "mpv": ("--no-video", "--really-quiet"),
    "cvlc": ("--play-and-exit", "--quiet"),
    "play": ("-q",),
    "afplay": (),
    "pw-play": (),
    "paplay": (),
    "aplay": ("-q",),
}


def player_words() -> tuple[str, ...]:
    """The words that play ``{path}`` with a program that is there.

    Raises:
        click.UsageError: none is.
    """
    for name, options in _PLAYERS.items():
        if shutil.which(name):
            return (name, *options, PATH)
    raise click.UsageError(f"there is no player; install one of {', '.join(_PLAYERS)}")


def programs_of(exec_: str | None, *, play: bool, is_piped: bool) -> list[tuple[str, ...]]:
    """The programs to run for each file, checked before anything is paid for.

    Raises:
        click.UsageError: there is no such program, or no file stays.
    """
    if is_piped and (play or exec_ is not None):
        raise click.UsageError("-o - leaves no file: it excludes --exec and --play")
    programs = [] if exec_ is None else [_split(exec_)]
    return [*programs, *([player_words()] if play else [])]


def _split(command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise click.UsageError(f"--exec {command!r:.80} cannot be read: {error}") from None
    if not words or shutil.which(words[0]) is None:
        name = words[0] if words else command
        raise click.UsageError(f"--exec: there is no program {name!r:.80}; nothing was sent")
    return words if any(PATH in word for word in words) else (*words, PATH)
