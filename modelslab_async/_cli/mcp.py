"""``mcp``: tools for a model, on standard input and output, until the client closes them."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._text import decimal_text
from .completing import directories
from .connection import Connection, opened
from .console import INVOCATION, Console
from .error_mapping import OK
from .help import Choice, Command
from .options import account, enterprise, output_options, waiting
from .prices import Amount, check_priced, price_arguments, prices_of, pricing
from .settings import Setting

if TYPE_CHECKING:
    from decimal import Decimal

_NAME = "modelslab"
_SETTINGS = ("max_jobs", "timeout", "price_per_job", "price_per_second")
_FILES = {
    "claude": ".mcp.json of a project, or claude_desktop_config.json",
    "cursor": ".cursor/mcp.json of a project, or ~/.cursor/mcp.json",
    "vscode": ".vscode/mcp.json of a project",
}


def _keeping_stdin(command: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse to read the key from where the client speaks."""

    @functools.wraps(command)
    def checked(**given: Any) -> Any:
        if given.get("api_key_stdin"):
            raise click.UsageError(
                "standard input belongs to the client: use --api-key-file or `auth login`"
            )
        return command(**given)

    return checked


@click.command(cls=Command)
@click.option(
    "--root",
    metavar="DIR",
    shell_complete=directories,
    help="Directory of all batches; no tool reads or writes elsewhere.  [default: modelslab in "
    "your music directory]",
)
@click.option("--sandbox", is_flag=True, help="Run against a sandbox: no key, no network, no bill.")
@click.option(
    "--max-cost",
    type=Amount(),
    help="Most to spend below DIR, over all restarts; needs a price.",
)
@click.option(
    "--max-jobs-total",
    type=click.IntRange(min=0),
    help="Most jobs to pay for below DIR, over all restarts.",
)
@click.option(
    "--ask-above",
    type=Amount(),
    help="What may be paid without asking the person, added up since their last yes; a call of "
    "unknown cost is always asked about.  [default: 0; on this machine, as with --sandbox: all]",
)
@click.option(
    "--print-config",
    type=Choice([*_FILES]),
    allow_from_autoenv=False,
    help="Print the settings with which this client starts the server, and end.",
)
@_keeping_stdin
@pricing
@enterprise
@waiting
@output_options
@account
def mcp(
    console: Console,
    settings: dict[str, Setting],
    root: str | None,
    sandbox: bool,
    max_cost: Decimal | None,
    max_jobs_total: int | None,
    ask_above: Decimal | None,
    print_config: str | None,
) -> int:
    """Serve tools that make music to an AI client: the Model Context Protocol over stdio.

    \b
    Examples:
      modelslab-async mcp --print-config claude --sandbox
      modelslab-async mcp --print-config cursor --price-per-job 0.05 --max-cost 5

    The client starts the server itself, with what --print-config prints. Tools make
    batches below DIR; a call that is repeated pays for nothing twice. The person is
    asked before each payment, by the client and not by the model; a client that
    cannot ask pays for nothing above --ask-above. It needs the extra mcp.
    """
    connection = Connection(settings=settings, sandbox=sandbox)
    connection.check_sandbox()
    place = _root(root)
    limits = prices_of(settings, max_cost=max_cost, max_jobs_total=max_jobs_total)
    check_priced(limits)
    if ask_above and not limits.priced:
        raise click.UsageError("--ask-above needs --price-per-job, --price-per-second or --price")
    if print_config is not None:
        own = _own_arguments(settings, max_cost, max_jobs_total, ask_above)
        words = ["--root", str(place), *own, *connection.arguments]
        _print_config(console, connection, print_config, words)
        return OK
    if sys.stdin.isatty():
        raise click.UsageError(
            "a client starts this and speaks on standard input, which is a terminal here: "
            f"{INVOCATION} mcp --print-config claude"
        )
    connection.check()
    from .. import mcp as servers

    serve = servers.serve  # an extra that is missing is told of before anything is opened
    from .signals import run

    asks = ask_above if ask_above is not None else (0 if connection.is_live else None)

    async def work() -> int:
        async with opened(connection) as client:
            await serve(client, place, limits=limits, ask_above=asks)
        return OK

    return run(work())


def _root(given: str | None) -> Path:
    if given is not None:
        return Path(given).absolute()
    from platformdirs import user_music_path

    try:
        music = user_music_path()
    except RuntimeError:
        music = Path()
    if not music.is_absolute():
        raise click.UsageError("this user has no music directory: name one with --root")
    return music / _NAME


def _own_arguments(
    settings: dict[str, Setting],
    max_cost: Decimal | None,
    max_jobs_total: int | None,
    ask_above: Decimal | None,
) -> list[str]:
    given: dict[str, Any] = {
        "max_cost": max_cost,
        "max_jobs_total": max_jobs_total,
        "ask_above": ask_above,
        **{name: settings[name].value for name in _SETTINGS if settings[name].origin == "flag"},
    }
    words = [
        word
        for name, value in given.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", _text(value))
    ]
    if settings["enterprise"].origin == "flag":
        words.append("--enterprise" if settings["enterprise"].value else "--no-enterprise")
    return [*words, *price_arguments(settings)]


def _text(value: Any) -> str:
    return str(value) if isinstance(value, int | float) else decimal_text(value)


def _print_config(
    console: Console, connection: Connection, client: str, arguments: list[str]
) -> None:
    """Print the settings, without the key: they are read by more programs than this one."""
    server: dict[str, Any] = {
        **({} if client == "claude" else {"type": "stdio"}),
        "command": sys.executable,  # clients do not search where a shell does
        "args": ["-m", "modelslab_async", "mcp", *arguments],
    }
    key = "servers" if client == "vscode" else "mcpServers"
    console.print(json.dumps({key: {_NAME: server}}, indent=2))
    console.info(f"for {_FILES[client]}")
    found = connection.settings["api_key"]
    if not connection.sandbox and not found.file and not _is_kept(found):
        console.warn(
            "the client may start the server without your shell's environment: keep the key with "
            f"`{INVOCATION} auth login`, or name a file with --api-key-file"
        )


def _is_kept(key: Setting) -> bool:
    return bool(key.value) and key.origin != "flag" and not key.origin.startswith("environment")
