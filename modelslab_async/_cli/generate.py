"""``generate``: prompts in, files out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from modelslab_async import LimitReached, MusicGen, Request, RequestError
from modelslab_async.endpoints import known_fields

from .._text import decimal_text, plural, safe_text, slug
from .completing import files
from .connection import Connection
from .console import Console, confirm_payment
from .error_mapping import NotThere
from .help import Command
from .naming import (
    check_ending,
    check_place,
    check_publishing,
    either,
    format_for,
    free_names,
    is_taken,
    longest_name,
    place_again,
    replacement,
    spells_all_scripts,
)
from .option_words import option_words
from .options import (
    account,
    all_of,
    exec_option,
    first_field,
    output_options,
    play_option,
    request_options,
    restrict_filenames,
    tag_option,
    waiting,
)
from .piping import STDOUT, check_stdout, passing_name
from .players import programs_of
from .prices import Amount, check_priced, prices_of, pricing, sizes_text, total_as_json, total_text
from .textfiles import as_meant, from_stdin

if TYPE_CHECKING:
    from modelslab_async import Limits

    from ..batch import Total
    from .settings import Setting
    from .tracks import Track

_TRACK_IDS = 2**53 - 1
_ENDINGS = {"text": (".txt", ".json"), "video": (".mp4",)}


def endings_of(request: type[Request]) -> tuple[str, ...]:
    """How files of such requests end, the usual one first."""
    if request.GIVES in _ENDINGS:
        return _ENDINGS[request.GIVES]
    chosen = known_fields(request).get("output_format")
    return tuple(f".{one}" for one in chosen.choices) if chosen else (".wav",)


def making(request: type[Request], metavar: str) -> Callable[[Any], Any]:
    """What a command needs that makes such requests: of each argument one, and options."""
    first = known_fields(request)[first_field(request)]
    return all_of(
        click.argument("prompts", metavar=metavar, nargs=-1, required=not first.optional),
        click.option(
            "-o",
            "--output",
            metavar="FILE|DIR|-",
            shell_complete=files,
            help=f"A name that ends in {either(endings_of(request))} is the file; - is standard "
            "output.  [default: this directory]",
        ),
        click.option("--overwrite", is_flag=True, help="Replace the file that -o names."),
        click.option(
            "--takes",
            type=click.IntRange(1, 1000),
            default=1,
            help="How many files of each, all different; each is a paid job.",
        ),
        restrict_filenames,
        request_options(request),
        exec_option,
        *([tag_option] if request.GIVES == "audio" else []),
        play_option,
        click.option(
            "--print-curl",
            is_flag=True,
            help="Print the requests as curl commands, with the key masked; send nothing.",
        ),
        click.option(
            "--sandbox", is_flag=True, help="Run against a sandbox: no key, no network, no bill."
        ),
        click.option(
            "-n", "--dry-run", is_flag=True, help="Show what would be done; open no connection."
        ),
        click.option(
            "-y", "--yes", is_flag=True, help="Do not ask before paying for several jobs."
        ),
        click.option(
            "--no-input", is_flag=True, help="Never ask; fail where a question is needed."
        ),
        click.option(
            "--max-cost", type=Amount(), help="Send nothing if all of it costs more; needs a price."
        ),
        pricing,
        waiting,
        output_options,
        account,
    )


@click.command(cls=Command, no_args_is_help=True)
@making(MusicGen, "PROMPT...")
def generate(**given: Any) -> int:
    """Generate music, one file for each PROMPT, and bring it to disk.

    \b
    Examples:
      modelslab-async generate --sandbox "lo-fi hip hop, 82 bpm" -o song.wav
      modelslab-async generate --sandbox "waltz" "techno, 128 bpm" -o music/
      modelslab-async generate --sandbox "sitar, tabla" --duration 30 --json

    Without --sandbox jobs cost money and need MODELSLAB_API_KEY. The finished
    paths go to stdout. No file is overwritten unless you say so. The ending of -o
    chooses the format, and the file's ending follows what it is. A single - reads
    prompts from standard input, one per line; -o - writes one file to standard
    output, and keeps it in this directory until all of it is taken.
    """
    return make(MusicGen, **given)


def make(
    request: type[Request],
    console: Console,
    settings: dict[str, Setting],
    prompts: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    takes: int,
    restrict_filenames: bool,
    exec_: str | None,
    play: bool,
    print_curl: bool,
    sandbox: bool,
    dry_run: bool,
    yes: bool,
    no_input: bool,
    max_cost: Decimal | None,
    **fields: Any,
) -> int:
    """Make one file for each argument.

    Args:
        request: the class of what to ask for.
        prompts: its first field, for each file; none where options alone say what to make.
        takes: how many files of each.
    """
    prompts = _from_stdin() if prompts == ("-",) else tuple(map(as_meant, prompts))
    orders = [prompt for prompt in (prompts or (None,)) for _ in range(takes)]
    jobs, endings = len(orders), endings_of(request)
    connection = Connection(settings=settings, sandbox=sandbox)
    connection.check_sandbox()
    is_piped = output == STDOUT
    if is_piped:
        is_text = request.GIVES == "text"
        console = check_stdout(
            console, jobs=jobs, overwrite=overwrite, dry_run=dry_run, is_text=is_text
        )
    programs = programs_of(exec_, play=play, is_piped=is_piped)
    check_ending(output, endings)
    directory, file = check_place(
        None if is_piped else output,
        several=jobs > 1,
        warn=console.warn if dry_run else None,
    )
    if "output_format" in fields:
        source = click.get_current_context().get_parameter_source("output_format")
        is_named = source is click.core.ParameterSource.COMMANDLINE
        fields["output_format"] = format_for(output, fields["output_format"], is_named=is_named)
    fields["enterprise"] = bool(request.ENTERPRISE and settings["enterprise"].value)
    with option_words(request):
        requests = _requests(request, orders, fields)
    if print_curl:
        from .curl import print_curl as shown

        return shown(connection, requests, console)
    ascii_only = restrict_filenames or not spells_all_scripts(directory, dry_run=dry_run)
    slugs = [slug(one.title, ascii_only=ascii_only) for one in requests]
    if is_piped:
        file = passing_name(slugs[0], endings[0])
    tracks = _tracks(requests, slugs, directory, file, overwrite=overwrite)
    tracks[0].is_piped = is_piped
    limits = prices_of(settings, max_cost=max_cost)
    check_priced(limits)
    total = _total(tracks, limits)
    excess = _excess(total, limits)
    if dry_run:
        if excess:
            console.warn(excess)
        return _plan(console, tracks, limits)
    if excess:
        raise LimitReached(excess)
    connection.check()
    if len(tracks) > 1 and connection.is_live and not yes:
        name = click.get_current_context().info_name or ""
        confirm_payment(total_text(total, total.price), name, no_input=no_input)
    check_publishing(directory, longest_name(file))
    console.info(f"{plural(jobs, 'job')} with {connection.origin}")
    from .kept_ids import KeptIds
    from .track_results import deliver

    kept = None
    if not sandbox:  # the jobs of a sandbox end with it
        kept = KeptIds(directory, tracks)
        console.info(f"the ids of the jobs are in {kept.path} until their files are saved")
    again = place_again(output, overwrite=overwrite, exec_=exec_, play=play)
    return deliver(connection, tracks, console, again=again, kept=kept, programs=programs)


def _from_stdin() -> tuple[str, ...]:
    """The prompts of standard input, one per line, by the rules of a text manifest."""
    name = click.get_current_context().info_name
    text = from_stdin(f"{name} -").replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.strip() for line in text.split("\n")]
    prompts = [
        line.removeprefix("\\") if line.startswith("\\#") else line
        for line in lines
        if line and not line.startswith("#")
    ]
    if not prompts:
        raise click.UsageError("standard input holds no prompt; nothing was sent")
    return tuple(prompts)


def _requests(
    request: type[Request], prompts: Sequence[str | None], fields: dict[str, Any]
) -> list[Request]:
    from secrets import randbelow

    if fields["track_id"] is not None and len(prompts) > 1:
        raise click.UsageError(f"--track-id names one job, but there are {len(prompts)}")
    values = _values(request, fields)
    given = values.pop("track_id")
    first, kind = first_field(request), cast("Any", request)
    # Made here, so that it can be named however the run ends.
    ids = [randbelow(_TRACK_IDS) + 1 if given is None else given for _ in prompts]
    return [
        kind(**{first: _first(request, prompt)}, track_id=own, **values)
        for prompt, own in zip(prompts, ids, strict=True)
    ]


def _first(request: type[Request], text: str | None) -> str | Path | None:
    """What one argument says: a prompt, or a recording by its URL or its path."""
    known = known_fields(request)[first_field(request)]
    if text is None or not known.is_media or "://" in text:
        return text
    if Path not in known.types:
        raise click.UsageError(f"{text}: this command takes the URL of a recording, no local file")
    if not Path(text).is_file():
        raise NotThere(f"{text}: no such file")
    return Path(text)


def _values(request: type[Request], fields: dict[str, Any]) -> dict[str, Any]:
    """The options as a request takes them."""
    values = dict(fields)
    first = first_field(request)
    for name, known in known_fields(request).items():
        if not known.is_media or name == first or Path not in known.types:
            continue
        if (path := values.pop(f"{name}_file")) is not None:
            values[name] = _local_file(name.replace("_", "-"), Path(path), values[name])
    if values["track_id"] is not None:
        values["track_id"] = as_number(values["track_id"])
    values["extra"] = _extra(values["extra"])
    return values


def as_number(text: str) -> int | str:
    """A track_id that looks like the numbers this program makes, as one of them."""
    is_one = text.isdecimal() and len(text) <= len(f"{_TRACK_IDS}") and f"{int(text)}" == text
    return int(text) if is_one else text


def _local_file(option: str, path: Path, other: str | None) -> Path:
    if other is not None:
        raise click.UsageError(f"--{option} and --{option}-file exclude each other")
    if not path.is_file():
        raise NotThere(f"{path}: no such file")
    return path


def _extra(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise RequestError(f"--extra is not JSON: {error}", field="extra") from None
    if not isinstance(found, dict):
        raise RequestError("--extra must be a JSON object", field="extra")
    return found


# --- where to -------------------------------------------------------------------------------------


def _tracks(
    requests: Sequence[Request],
    slugs: Sequence[str],
    directory: Path,
    file: Path | None,
    *,
    overwrite: bool,
) -> list[Track]:
    from .tracks import Track

    ending = endings_of(type(requests[0]))[0]
    if overwrite:
        target = str(replacement(file, ending))
        return [Track(safe_text(requests[0].title, 60), requests[0], [target], replaces=file)]
    if file and is_taken(file):
        raise click.UsageError(f"{file} already exists; name another file, or pass --overwrite")
    claimed: set[str] = set()
    return [
        Track(
            safe_text(request.title, 60),
            request,
            [str(file)] if file else free_names(directory, name, claimed, ending),
        )
        for request, name in zip(requests, slugs, strict=True)
    ]


# --- before anything is paid ----------------------------------------------------------------------


def _total(tracks: Sequence[Track], limits: Limits) -> Total:
    from ..batch import Total

    total = Total()
    for track in tracks:
        order = cast("Request", track.order)
        total.add(order.estimate(), limits.price_of(order))
    return total


def _excess(total: Total, limits: Limits) -> str | None:
    """Why this may not be paid for, if so."""
    cap, cost = limits.max_cost, total.price
    if cap is None or (cost is not None and cost <= cap):
        return None
    jobs = plural(total.jobs, "job")
    told = f"the cost of {jobs} cannot be told"
    costs = told if cost is None else f"{jobs} would cost {decimal_text(cost)}"
    return f"{costs}, and --max-cost is {decimal_text(cap)}; nothing was sent"


def _plan(console: Console, tracks: Sequence[Track], limits: Limits) -> int:
    plans = [
        (track, STDOUT if track.is_piped else next(iter(track.targets)), _total([track], limits))
        for track in tracks
    ]
    total = _total(tracks, limits)
    if console.json:
        files = [
            {"path": to, "seconds": float(one.seconds), "mb": one.megabytes} for _, to, one in plans
        ]
        console.print_json(
            {"schema_version": 1, **total_as_json(total, total.price), "files": files}
        )
        return 0
    for track, to, one in plans:
        sizes = sizes_text(one)
        console.print(f"{to}{sizes and '  '}{sizes}: {track.name}")
    console.print(total_text(total, total.price))
    return 0
