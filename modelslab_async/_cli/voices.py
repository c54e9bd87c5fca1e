"""``voices``: what there is to speak and sing with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .._text import safe_text
from .connection import Connection
from .console import Console
from .help import Choice, Command
from .options import account, output_options

if TYPE_CHECKING:
    from .settings import Setting


@click.command(cls=Command)
@click.option(
    "--type",
    "kind",
    type=Choice(["manual", "trained", "voice_cover"]),
    default="manual",
    help="Which of them.",
)
@click.option("--sandbox", is_flag=True, help="Ask a sandbox: no key, no network.")
@output_options
@account
def voices(console: Console, settings: dict[str, Setting], kind: Any, sandbox: bool) -> int:
    """List the voices of the library: what other commands take as --voice-id or --model-id.

    \b
    Examples:
      modelslab-async voices --sandbox
      modelslab-async voices --type voice_cover --json
    """
    connection = Connection(settings=settings, sandbox=sandbox)
    connection.check()
    console.info(f"asking {connection.origin}")
    from .track_results import ask

    found = ask(connection, lambda client: client.voices(kind))
    if isinstance(found, int):
        return found
    if console.json:
        listed = [{"id": one.id, "name": one.name, "language": one.language} for one in found]
        console.print_json({"schema_version": 1, "voices": listed})
    else:
        rows = [tuple(map(safe_text, (one.id, one.name, one.language))) for one in found]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            console.print("  ".join(cells).rstrip())
    return 0
