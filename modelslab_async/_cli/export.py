"""``export``: copies of a batch's files of one format and loudness, with marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .._text import plural, safe_text
from .completing import directories
from .console import Console, operand
from .error_mapping import OK, SOME_FAILED
from .help import Choice, Command
from .options import output_options
from .resume import check_batch

if TYPE_CHECKING:
    from ..sound import Exported


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@click.argument("out", metavar="OUT", shell_complete=directories)
@click.option("--kept", is_flag=True, help="Only files that were kept while listening.")
@click.option(
    "--format",
    "form",
    type=Choice(["wav", "flac", "ogg", "opus", "mp3"]),
    help="Format of the copies.  [default: that of each file]",
)
@click.option("--lufs", type=click.FloatRange(-60, 0), help="Loudness to reach, such as -16.")
@click.option(
    "--peak",
    type=click.FloatRange(-30, 0),
    default=-1.0,
    help="Highest true peak in dB of a file whose loudness is changed.",
)
@click.option("--trim", is_flag=True, help="Cut silence off both ends.")
@click.option(
    "--fade", type=click.FloatRange(0, 600), default=0.0, help="Seconds to fade out over."
)
@click.option(
    "--loop",
    type=click.FloatRange(0, 600),
    default=0.0,
    help="Seconds of the end to mix into the beginning, so that it repeats without a seam.",
)
@click.option("--tag/--no-tag", default=True, help="Add marks: made by a model, prompt, job.")
@click.option("--drop-c2pa", is_flag=True, help="Also make copies that lose their C2PA manifest.")
@click.option(
    "--sign",
    nargs=2,
    type=click.Path(dir_okay=False),
    metavar="CERT KEY",
    allow_from_autoenv=False,
    help="Sign WAV, FLAC and MP3 copies as C2PA does, with your PEM files; needs the extra c2pa.",
)
@output_options
def export(
    console: Console,
    directory: str,
    out: str,
    kept: bool,
    form: Any,
    tag: bool,
    drop_c2pa: bool,
    sign: tuple[str, str] | None,
    **shape: Any,
) -> int:
    """Copy the sounds of the batch in DIR to OUT, at one loudness and format, with marks.

    \b
    Examples:
      modelslab-async export music/ out/
      modelslab-async export music/ out/ --kept --format ogg --lufs -16
      modelslab-async export music/ loops/ --trim --loop 2

    The originals stay as they are. Only the gain of a whole file is changed, and
    never beyond --peak: what stays quieter is said. The same command again makes
    only what is new; index.jsonl in OUT says what was made of what. A file with a
    C2PA manifest is copied as it is, signed anew with --sign, or left out. All but
    plain copies need the extra audio. Exit code 8: files were not exported.
    """
    from pathlib import Path

    from ..sound import Shape, export_batch

    check_batch(Path(directory))
    done = [
        _told(console, one)
        for one in export_batch(
            directory,
            out,
            format=form,
            shape=Shape(**shape),
            kept=kept,
            tag=tag,
            drop_c2pa=drop_c2pa,
            sign=sign,
        )
    ]
    failed = sum(bool(one.error) for one in done)
    made = sum(one.is_new for one in done)
    if console.json:
        console.print_json({"schema_version": 1, "exported": [_as_json(one) for one in done]})
    same = len(done) - failed - made
    console.info(
        f"{plural(made, 'file')} made, {same} there already"
        + (f", {failed} not exported" * bool(failed))
    )
    if kept and not done:
        console.warn("no file is kept: `listen` the batch first, and decide")
    return SOME_FAILED if failed else OK


def _told(console: Console, one: Exported) -> Exported:
    if one.error:
        console.error(f"row {one.row}: {safe_text(one.error)}")
    elif one.is_new and not console.json:
        console.print(operand(one.path or ""))
    if one.note:
        console.warn(f"row {one.row}: {safe_text(one.note)}")
    return one


def _as_json(one: Exported) -> dict[str, Any]:
    return {
        "row": one.row,
        "id": one.id,
        "path": None if one.path is None else str(one.path),
        "is_new": one.is_new,
        "problem": one.error,
        "note": one.note,
        "gain": one.gain,
    }
