"""``verify``: read the files of a batch, and list those that are not as they were saved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from .completing import directories
from .console import Console, command_line, operand
from .help import Command
from .options import output_options
from .resume import check_batch

if TYPE_CHECKING:
    from ..batch import FileFault

_INTERVAL: Final = 10.0


@click.command(cls=Command, no_args_is_help=True)
@click.argument("directory", metavar="DIR", shell_complete=directories)
@output_options
def verify(console: Console, directory: str) -> int:
    """Read the files of done rows in DIR; print those that are not as they were saved.

    \b
    Examples:
      modelslab-async verify music/
      modelslab-async verify music/ --json

    Each file is compared with the size and the SHA-256 in the ledger. This changes
    nothing, opens no connection, and works beside a run and on a read-only disk.
    `resume DIR --retry missing` downloads what is missing or changed again, free.
    Exit code 8: files are missing or changed; 1: some could not be read; --json
    gives one event a line.
    """
    from ..batch import Reader, verify_batch
    from ..batch._advice import unpaid
    from .file_check import FileCheck

    place = Path(directory)
    check_batch(place)
    progress, check = _Progress(console), FileCheck()
    for fault in verify_batch(place, content=True, progress=progress):
        check.add(fault)
        _tell(console, fault)
    with Reader.open(place) as reader:
        states = reader.summary()
    retry = command_line("resume", operand(directory), "--retry", "missing")
    again = f"{retry}{unpaid(states)}" if check.lost else ""
    if console.json:
        console.print_json(
            {
                "schema_version": 1,
                "event": "ended",
                "track_id": None,
                "exit_code": check.exit_code,
                "checked": progress.checked,
                "faults": check.as_json(),
                "resume": again or None,
            }
        )
        return check.exit_code
    as_saved = progress.checked - check.kinds.total()
    console.info(f"{as_saved} of {progress.checked} files are as they were saved")
    if again:
        console.always(f"download them again, free, with: {again}")
    return check.exit_code


def _tell(console: Console, fault: FileFault) -> None:
    from .file_check import described

    if console.json:
        known = {"row": fault.row, "id": fault.id, "path": fault.path, "reason": fault.reason}
        event = {"schema_version": 1, "event": fault.kind.value, "track_id": None}
        console.print_json({**event, **known})
    else:
        console.print(f"{fault.kind:<11}{described(fault)}")


class _Progress:
    """Counts files, and prints the count every few seconds."""

    def __init__(self, console: Console) -> None:
        self.checked = 0
        self._console = console
        self._told = time.monotonic()

    def __call__(self, checked: int) -> None:
        self.checked = checked
        if time.monotonic() - self._told >= _INTERVAL:
            self._told = time.monotonic()
            self._console.info(f"{checked} files checked")
