"""``check``: what may be wrong with sound files, and the marks in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._text import plural, safe_text
from .batch_options import flags_of
from .console import Console, operand
from .error_mapping import OK, OTHER, SOME_FAILED, NotThere
from .help import Command
from .options import output_options

if TYPE_CHECKING:
    from ..sound import CheckedFile

_SOUNDS = (".wav", ".mp3", ".flac", ".ogg", ".opus")
_MARKS = {
    "c2pa": "C2PA manifest (signature not checked)",
    "xmp": "XMP",
    "xmp_ai": "XMP that says made by a model",
    "info": "INFO",
    "id3": "ID3 tag",
    "vorbis": "Vorbis comments",
    "vorbis_ai": "Vorbis comments that say made by a model",
}


@click.command(cls=Command, no_args_is_help=True)
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--fail-on",
    metavar="FLAG,...",
    callback=lambda _context, _option, value: flags_of(value) if value else (),
    help="Exit code 8 if a file has such a flag: silent, dead_tail, gap, clipped, dc, same_as.",
)
@output_options
def check(console: Console, paths: tuple[str, ...], fail_on: tuple[str, ...]) -> int:
    """Say what may be wrong with sound files, and which marks of their origin they hold.

    \b
    Examples:
      modelslab-async check song.wav
      modelslab-async check music/ --json
      modelslab-async check music/ --fail-on silent,dead_tail

    Flags: silent, dead_tail (silence at the end), gap (silence within), clipped, dc
    (off zero), same_as (the samples of an earlier file). They are hints: listen.
    MP3, FLAC and others are decoded, and loudness is measured, where the extra
    audio is installed. Marks are named as they are found; whether they meet any
    law is not for this program to say. Exit code 1: a file is no sound.
    """
    from ..sound import check_files

    found = list(check_files(_files(paths)))
    if console.json:
        console.print_json({"schema_version": 1, "files": [_as_json(one) for one in found]})
    else:
        for one in found:
            console.print(_line(one))
        unchecked = sum(one.flags is None and bool(one.format) for one in found)
        if unchecked:
            console.warn(
                f"{plural(unchecked, 'file')} not checked: their format needs the extra audio: "
                "pip install 'modelslab-async[audio]'"
            )
    if any(not one.format for one in found):
        return OTHER
    flags = {flag.partition(":")[0] for one in found for flag in one.flags or ()}
    return SOME_FAILED if flags.intersection(fail_on) else OK


def _files(paths: tuple[str, ...]) -> Iterator[Path]:
    """The files, and those of the directories in the order of their names."""
    for path in map(Path, paths):
        if not path.is_dir():
            if not path.exists():
                raise NotThere(f"{path}: no such file")
            yield path
            continue
        inside = sorted(one for one in path.iterdir() if one.suffix.lower() in _SOUNDS)
        if not inside:
            raise NotThere(f"{path}: it holds no sound file")
        yield from inside


def _line(one: CheckedFile) -> str:
    if not one.format:
        return f"{operand(one.path)}: {safe_text(one.problem)}"
    facts = [
        *([] if one.seconds is None else [f"{one.seconds:.1f} s"]),
        *([] if one.peak_dbfs is None else [f"peak {one.peak_dbfs:.1f} dBFS"]),
        *([] if one.lufs is None else [f"{one.lufs:.1f} LUFS"]),
    ]
    flags = "not checked" if one.flags is None else ", ".join(one.flags) or "ok"
    marks = f"; marks: {', '.join(_MARKS[mark] for mark in one.marks)}" if one.marks else ""
    odd = f"; {one.problem}" if one.problem else ""
    return f"{operand(one.path)}: {safe_text(flags)}; {', '.join(facts)}{marks}{odd}"


def _as_json(one: CheckedFile) -> dict[str, Any]:
    return {
        "path": str(one.path),
        "format": one.format or None,
        "seconds": one.seconds,
        "sample_rate": one.sample_rate,
        "channels": one.channels,
        "flags": None if one.flags is None else list(one.flags),
        "peak_dbfs": one.peak_dbfs,
        "lufs": one.lufs,
        "marks": [mark.value for mark in one.marks],
        "problem": one.problem,
    }
