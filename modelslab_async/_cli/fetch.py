"""``fetch``: go on with jobs that are known by id or handle."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._text import safe_text
from .completing import files
from .connection import Connection
from .console import Console
from .help import Command
from .naming import EXTENSIONS, check_place, either, place_again, replacement
from .options import account, exec_option, output_options, play_option, waiting
from .piping import STDOUT, check_stdout, passing_name
from .players import programs_of
from .textfiles import from_stdin, read_text

if TYPE_CHECKING:
    from .settings import Setting

# A job that is taken up again is hardly so young that the API does not know it yet; an id that the
# API does not know after so many seconds is a wrong one.
_PATIENCE = 30.0


@click.command(cls=Command, no_args_is_help=True)
@click.argument("jobs", metavar="ID|HANDLE|@FILE|-...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE|DIR|-",
    shell_complete=files,
    help=f"A name that ends in {either(EXTENSIONS)} is the file; - is standard output.  "
    "[default: this directory]",
)
@click.option("--overwrite", is_flag=True, help="Replace the file that -o names.")
@exec_option
@play_option
@waiting
@output_options
@account
def fetch(
    console: Console,
    settings: dict[str, Setting],
    jobs: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    exec_: str | None,
    play: bool,
) -> int:
    """Wait for jobs that run already, and bring their files to disk. This costs nothing.

    \b
    Examples (with a sandbox from `modelslab-async sandbox` and its two export lines):
      modelslab-async fetch 310815 -o song.wav
      modelslab-async fetch 310815 310816 -o music/
      echo 310815 | modelslab-async fetch -

    A job is its id, the text that Job.to_json() gave, @FILE with one of these
    in each line (# begins a comment), or - for standard input. In a directory a file gets the id
    of its job as its name.
    """
    from modelslab_async import PollPolicy

    handles = [handle for job in jobs for handle in _handles(job)]
    if not handles:
        raise click.UsageError("no job is named")
    is_piped = output == STDOUT
    if is_piped:
        console = check_stdout(console, jobs=len(handles), overwrite=overwrite)
    programs = programs_of(exec_, play=play, is_piped=is_piped)
    directory, file = check_place(None if is_piped else output, several=len(handles) > 1)
    if is_piped:
        file = passing_name("track")
    connection = Connection(settings=settings, poll=PollPolicy(patience=_PATIENCE))
    connection.check()
    console.info(f"asking {connection.origin}")
    from .track_results import deliver
    from .tracks import Track

    replaced = file if overwrite else None
    target = str(replacement(file) if overwrite else file or f"{directory}{os.sep}")
    tracks = [
        Track(
            f"job {safe_text(handle, 24)}", handle, [target], replaces=replaced, is_piped=is_piped
        )
        for handle in handles
    ]
    again = place_again(output, overwrite=overwrite, exec_=exec_, play=play)
    return deliver(connection, tracks, console, again=again, programs=programs)


def _handles(job: str) -> Sequence[str]:
    if job == "-":
        return _lines(from_stdin("fetch -"))
    return _lines(read_text(Path(job[1:]))) if job.startswith("@") else [job]


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
