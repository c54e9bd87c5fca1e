"""``demo``: six tracks in a few seconds, all on this machine."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._text import slug
from .completing import directories
from .connection import Connection
from .console import INVOCATION, Console, operand
from .help import Command
from .naming import check_writable
from .options import output_options, play_option
from .players import programs_of
from .settings import built_in

if TYPE_CHECKING:
    from .tracks import Track

PROMPTS = (
    "lo-fi hip hop, 82 bpm, A minor, warm electric piano, rainy night",
    "techno, 128 bpm, F minor, driving kick, acid bass",
    "epic orchestral, 96 bpm, D minor, strings, brass, timpani",
    "slow ambient pads, 60 bpm, E major, dreamy, no drums",
    "sitar and tabla raga, 100 bpm, D major",
    "rock music from the 90s, 120 bpm, E minor, electric guitar",
)
_TOKENS = 503  # ten seconds, at 50 tokens a second


@click.command(cls=Command)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    default="modelslab-demo",
    shell_complete=directories,
    help="Where to.",
)
@play_option
@output_options
def demo(console: Console, output: str, play: bool) -> int:
    """Generate six tracks on this machine: no account, no network, no questions.

    \b
    Examples:
      modelslab-async demo
      modelslab-async demo -o /tmp/music

    Starts a sandbox of the API; the six jobs take every step that a real one takes. The music is
    made by the sandbox, not by ModelsLab.
    """
    console.info("six tracks from a sandbox on this machine (no account, no network)")
    from .track_results import deliver

    directory = Path(output)
    check_writable(directory)
    tracks = [_track(prompt, directory) for prompt in PROMPTS]
    connection = Connection(settings=built_in(), sandbox=True)
    programs = programs_of(None, play=play, is_piped=False)
    code = deliver(connection, tracks, console, programs=programs)
    if code == 0:
        _what_next(console, [saved.path for track in tracks for saved in track.saved])
    return code


def _track(prompt: str, directory: Path) -> Track:
    from modelslab_async import MusicGen

    from .tracks import Track

    # A file of an earlier run with the same content counts as this run's file.
    name, _, _ = prompt.partition(",")
    request = MusicGen(prompt, max_new_token=_TOKENS)
    return Track(name, request, [str(directory / f"{slug(name)}.wav")])


def _what_next(console: Console, paths: list[Path]) -> None:
    console.info(f"\nListen:   {INVOCATION} play {shlex.quote(operand(paths[0]))}")
    console.info(f'Your own: {INVOCATION} generate --sandbox "sitar, tabla" -o sitar.wav')
    console.info("For real: export MODELSLAB_API_KEY=... (your ModelsLab dashboard shows it), then")
    console.info(f'          {INVOCATION} generate "rock music from the 90s" -o rock.wav')
