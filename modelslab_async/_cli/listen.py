"""``listen``: a page to hear the files of a batch, compare takes, and keep or reject them."""

from __future__ import annotations

from pathlib import Path

import click

from .completing import directories
from .console import INVOCATION, Console
from .help import Command
from .listen_page import tell
from .options import output_options
from .resume import check_batch


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@click.option(
    "--file",
    "as_file",
    is_flag=True,
    help="Write DIR/listen.html instead: one file, to be sent along with the directory.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    allow_from_autoenv=False,
    help="Of 127.0.0.1.  [default: any that is free]",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@output_options
def listen(
    console: Console, directory: str, as_file: bool, port: int | None, no_browser: bool
) -> int:
    """Open a page in the browser to hear the batch in DIR, and keep or reject its files.

    \b
    Examples:
      modelslab-async listen music/
      modelslab-async listen music/ --file

    The page shows a running batch live, is served on 127.0.0.1 until Ctrl-C, and is
    for one person: whoever knows the address can decide. Each decision is on disk, in
    decisions.jsonl in DIR, before the page says so. `picks DIR` shows and copies what
    was kept. Nothing is sent to any other machine.
    """
    from ..listening import write_page
    from .signals import run

    place = Path(directory)
    check_batch(place)
    if as_file:
        if port or no_browser:
            raise click.UsageError("--file serves nothing: it excludes --port and --no-browser")
        path = write_page(place, program=INVOCATION)
        if console.json:
            console.print_json({"schema_version": 1, "event": "page", "path": str(path)})
        else:
            console.print(str(path))
        return 0
    return run(_serve(place, port or 0, console, opens=not no_browser))


async def _serve(place: Path, port: int, console: Console, *, opens: bool) -> int:
    import anyio

    from ..listening import serve

    async with serve(place, port=port, program=INVOCATION) as page:
        tell(page, console, opens=opens)
        await anyio.sleep_forever()
    return 0
