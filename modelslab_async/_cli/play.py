"""``play``: hear files with a player that this machine has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from .console import Console, operand
from .error_mapping import OK, OTHER, NotThere
from .help import Command
from .options import output_options
from .players import PATH, player_words

_SOUNDS = (".wav", ".mp3", ".flac")


@click.command(cls=Command, no_args_is_help=True)
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True, type=click.Path())
@output_options
def play(console: Console, paths: tuple[str, ...]) -> int:
    """Play files, or all sound files of a directory in the order of their names.

    \b
    Examples:
      modelslab-async play song.wav
      modelslab-async play music/

    The first of ffplay, mpv, cvlc, play, afplay, pw-play, paplay and aplay that is installed plays
    them. Exit code 1: it could not play one.
    """
    files = [file for path in paths for file in _files(Path(path))]
    words, code = player_words(), OK
    for file in files:
        console.info(f"playing {file}")
        argv = [word.replace(PATH, operand(file)) for word in words]
        done = subprocess.run(argv, check=False)  # noqa: S603 - of our own list, without a shell
        if done.returncode:
            console.warn(f"{words[0]} could not play {file}: exit code {done.returncode}")
            code = OTHER
    return code


def _files(path: Path) -> list[Path]:
    """The file, or those of the directory."""
    if not path.is_dir():
        if not path.is_file():
            raise NotThere(f"{path}: no such file")
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in _SOUNDS)
    if not found:
        raise NotThere(f"{path}: it holds no sound file")
    return found
