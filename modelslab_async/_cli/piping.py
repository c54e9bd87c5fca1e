"""``-o -``: the bytes of one file on standard output, for another program to read.

The file is brought to disk first, and stays there until all of it is written: whatever becomes of
the reader, what is paid for is not lost.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from attrs import evolve

from .._engine.filesystem import sync_file
from .console import Console, fetch_command
from .streams import write_all

if TYPE_CHECKING:
    from .tracks import Track

STDOUT = "-"
_BLOCK = 64 * 1024


def check_stdout(
    console: Console,
    *,
    jobs: int,
    overwrite: bool,
    dry_run: bool = False,
    is_text: bool = False,
) -> Console:
    """How to speak while standard output takes a file: JSON that only a setting asks for gives way.

    A text may be written to a terminal.

    Raises:
        click.UsageError: it cannot.
    """
    if jobs > 1:
        raise click.UsageError(f"-o - takes one file, but there are {jobs} jobs: name a directory")
    if overwrite:
        raise click.UsageError("-o - and --overwrite exclude each other")
    source = click.get_current_context().get_parameter_source("as_json")
    if console.json and source is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("-o - and --json exclude each other: both need standard output")
    console = evolve(console, json=False)
    if dry_run:
        return console
    if sys.__stdout__ is None:
        raise click.UsageError("-o - writes to standard output, and that is closed")
    if sys.stdout.isatty() and not is_text:
        raise click.UsageError(
            "-o - writes the file to standard output, and that is a terminal: use a pipe, or "
            "name a file"
        )
    return console


def passing_name(stem: str, ending: str = ".wav") -> Path:
    """What a file is called until it is written to standard output; nothing else has the name."""
    return Path(f"{stem}-{secrets.token_hex(4)}{ending}")


def pour(console: Console, track: Track, *, again: bool) -> None:
    """Write the file of a track to standard output, and remove it when all of it is there.

    Args:
        console: says where the file is if it stays.
        track: that is saved.
        again: its job can be fetched again.

    Raises:
        OSError: the reader has gone, or takes no more.
    """
    path, *others = (saved.path for saved in track.saved)
    for other in others:
        console.always(f"the job made another file: {other}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup stays in force
            signal.signal(number, _leave)
    try:
        _send(path, sys.stdout.fileno())
    except BaseException:
        console.always(f"standard output was closed early; the complete file is {path}")
        raise
    path.unlink()
    if again and track.job is not None:
        command = fetch_command([track.job.short_handle])
        console.info(f"written to standard output; {command} downloads it again")


def _send(path: Path, fd: int) -> None:
    """Write the bytes of a file, and have them stored if they go to another file."""
    last = b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            write_all(fd, block)
            last = block[-1:]
    if os.isatty(fd) and last != b"\n":
        write_all(fd, b"\n")
    sync_file(fd)


def _leave(number: int, frame: FrameType | None) -> None:
    """End as by the signal, but not before it is said where the file is."""
    raise SystemExit(128 + number)
