"""Options that several commands share, handed to the command as one value each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import evolve, fields

from modelslab_async.endpoints import Field, Request, known_fields

from .completing import profile_names
from .connection import record_to, tag_files
from .console import Console, json_by_default
from .help import Choice
from .settings import Flags, read_settings, unknown_settings
from .streams import LogStream

if TYPE_CHECKING:
    from decimal import Decimal

_MAX_METAVAR = 48
_TYPES: dict[tuple[type, ...], Any] = {(int,): int, (int, float): float}

Command = TypeVar("Command", bound=Callable[..., Any])


def all_of(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several decorators as one, the first outermost."""

    def apply(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


_TALKING = all_of(
    click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
    click.option(
        "-q",
        "--quiet",
        count=True,
        show_default=False,
        help="Warnings and errors only; -qq: errors only.",
    ),
    click.option(
        "-v",
        "--verbose",
        count=True,
        show_default=False,
        help="Show the library's log; -vv: debug log and tracebacks.",
    ),
    click.option("--no-color", is_flag=True, help="No colours; NO_COLOR does the same."),
)

_ACCOUNT = all_of(
    click.option(
        "--api-key-file",
        type=click.Path(dir_okay=False),
        help="File that holds the API key.  [default: MODELSLAB_API_KEY]",
    ),
    click.option("--api-key-stdin", is_flag=True, help="Read the API key from standard input."),
    click.option(
        "--api-key",
        allow_from_autoenv=False,
        help="The API key itself; visible to every user of this machine.",
    ),
    click.option(
        "--profile",
        metavar="NAME",
        allow_from_autoenv=False,
        shell_complete=profile_names,
        help="Use the key of this profile, and no other.  [default: MODELSLAB_PROFILE]",
    ),
    click.option(
        "--base-url",
        allow_from_autoenv=False,
        help="API base URL.  [default: MODELSLAB_BASE_URL, or https://modelslab.com]",
    ),
)

_WAITING = all_of(
    click.option(
        "--max-jobs",
        type=click.IntRange(min=1),
        allow_from_autoenv=False,
        help="Jobs in the account's queue at once: 5, 10 or 15 by plan.  [default: 5]",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        allow_from_autoenv=False,
        help="Seconds to wait for a job once it is accepted.  [default: 900]",
    ),
    click.option(
        "--connect-timeout",
        type=click.FloatRange(min=0, min_open=True),
        allow_from_autoenv=False,
        help="Seconds to wait for each connection.  [default: 30]",
    ),
    click.option(
        "--allow-addresses",
        metavar="RANGE,...",
        allow_from_autoenv=False,
        help="Also download from these non-public addresses: 198.18.0.0/15 of a tunnel.",
    ),
)


restrict_filenames = click.option(
    "--restrict-filenames", is_flag=True, help="ASCII file names only."
)


exec_option = click.option(
    "--exec",
    "exec_",
    metavar="CMD",
    allow_from_autoenv=False,
    help="Run CMD {path} for each saved file: one at a time, without a shell. Exit code 1: it "
    "failed, and all files are there.",
)
tag_option = click.option(
    "--tag",
    is_flag=True,
    expose_value=False,
    callback=lambda _context, _option, value: tag_files() if value else None,
    help="Add INFO and XMP to WAV files: made by a model, with prompt and job; the samples stay.",
)
play_option = click.option("--play", is_flag=True, help="Play each saved file.")


enterprise = click.option(
    "--enterprise/--no-enterprise",
    default=None,
    allow_from_autoenv=False,
    help="Send requests to the account's own servers where they have a twin there.  "
    "[default: async.enterprise]",
)
"""It goes to ``settings``."""


def request_options(request: type[Request]) -> Callable[[Any], Any]:
    """An option for each field of a request but the first, which is what the command is given."""
    common, first = known_fields(Request), first_field(request)
    is_given_media = known_fields(request)[first].is_media  # as a URL or a file, and never as text
    own = {name: known for name, known in known_fields(request).items() if name not in common}
    options = [
        option
        for name, known in {**own, **common}.items()
        if known.is_sent and name != first and not (name == "base64" and is_given_media)
        for option in _field_options(name.replace("_", "-"), known)
    ]
    return all_of(
        *options,
        click.option("--extra", metavar="JSON", help="More request fields, as a JSON object."),
        *([enterprise] if request.ENTERPRISE else []),
        click.option("--unchecked", is_flag=True, help="Send values beyond the documented bounds."),
    )


def first_field(request: type[Request]) -> str:
    """The one that is given without its name: a prompt or a recording."""
    names: list[str] = [one.name for one in fields(request) if not one.kw_only]
    return names[0]


def _field_options(name: str, known: Field) -> Iterator[Callable[[Any], Any]]:
    if known.types == (bool,):
        yield click.option(f"--{name}/--no-{name}", default=None, help=known.help)
        return
    kind = Choice(known.choices) if known.choices else _TYPES.get(known.types)
    is_needed = not known.optional and not known.is_media
    about, metavar, words = known.help, None, ", ".join(map(str, known.choices))
    if len(words) > _MAX_METAVAR:
        about, metavar = f"{about}  [{words}]".strip(), "WORD"
    yield click.option(
        f"--{name}", type=kind, metavar=metavar, help=about or None, required=is_needed
    )
    if known.is_media and Path in known.types:
        yield click.option(
            f"--{name}-file", type=click.Path(dir_okay=False), help="A local file instead."
        )


def output_options(command: Command) -> Command:
    """Options about what is said; the command gets ``console``."""

    @functools.wraps(command)
    def talk(
        as_json: bool, quiet: int, verbose: int, no_color: bool, **rest: Any
    ) -> Any:  # click passes them by these names
        console = Console(
            json=as_json or json_by_default(), quiet=quiet, verbose=verbose, no_color=no_color
        )
        _log_to_stderr(verbose)
        return command(console=console, **rest)

    decorated: Command = _TALKING(talk)
    return decorated


def _log_to_stderr(verbose: int) -> None:
    import logging

    level = {0: logging.ERROR, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(format="%(name)s: %(message)s", stream=LogStream())
    logging.getLogger("modelslab_async").setLevel(level)


def account(command: Command) -> Command:
    """Options of a command that asks the API; it gets ``settings``."""
    recording = click.option(
        "--record",
        type=click.Path(dir_okay=False, path_type=Path),
        allow_from_autoenv=False,
        metavar="FILE",
        help="Keep all exchanges, redacted, in this new file, for a bug report.",
    )
    return account_settings(recording(command))


def account_settings(command: Command) -> Command:
    """Options about the account; the command gets ``settings``."""

    @functools.wraps(command)
    def with_flags(
        api_key: str | None,
        api_key_file: str | None,
        api_key_stdin: bool,
        profile: str | None,
        base_url: str | None,
        console: Console,
        record: Path | None = None,
        max_jobs: int | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        allow_addresses: str | None = None,
        enterprise: bool | None = None,
        price_per_job: Decimal | None = None,
        price_per_second: Decimal | None = None,
        prices: Sequence[tuple[str, Decimal]] = (),
        **rest: Any,
    ) -> Any:
        if api_key is not None:
            console.warn(
                "--api-key shows the key to every user of this machine; "
                "use MODELSLAB_API_KEY or --api-key-file"
            )
        flags = Flags(
            api_key=api_key,
            api_key_file=api_key_file,
            api_key_stdin=api_key_stdin,
            profile=profile,
            base_url=base_url,
            max_jobs=max_jobs,
            timeout=timeout,
            connect_timeout=connect_timeout,
            allow_addresses=allow_addresses,
            enterprise=enterprise,
            price_per_job=price_per_job,
            price_per_second=price_per_second,
            prices=prices,
        )
        if record is not None:
            record_to(record)
        settings = read_settings(flags)
        console = evolve(console, json=console.json or settings["output"].value == "json")
        for line in unknown_settings():
            console.warn(line)
        return command(console=console, settings=settings, **rest)

    decorated: Command = _ACCOUNT(with_flags)
    return decorated


def waiting(command: Command) -> Command:
    """Options about how many jobs at once, how long, and from where; they go to ``settings``."""
    decorated: Command = _WAITING(command)
    return decorated
