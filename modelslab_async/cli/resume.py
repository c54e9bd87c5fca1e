"""``resume``: go on with a batch, from its directory alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .batch_options import carrying
from .failing import NotThere
from .options import account, talking, waiting
from .voice import Voice

if TYPE_CHECKING:
    from .batch_options import How


@click.command(no_args_is_help=True, short_help="Go on with a batch where it stopped.")
@click.argument("directory", metavar="DIR")
@waiting
@talking
@account
@carrying
def resume(voice: Voice, how: How, directory: str) -> int:
    """Go on with the batch in DIR where it stopped; no manifest is needed.

    \b
    Examples:
      modelslab-async resume music/ --sandbox
      modelslab-async resume music/ --dry-run
      modelslab-async resume music/ --retry failed --yes

    \b
    What is paid for is polled again and brought to disk; what was not sent yet is
    sent, and paid for. Rows that are done stay as they are. Rows that failed or
    were rejected are made anew with --retry alone.
    """
    from .batch_plan import survey
    from .batch_run import carry

    place = Path(directory)
    check_batch(place)
    return carry(place, how, voice, survey(place, None, how, voice))


def check_batch(directory: Path) -> None:
    """See that a directory holds a batch.

    Raises:
        NotThere: it does not.
    """
    from ..batch.reading import holds_batch

    if not holds_batch(directory):
        raise NotThere(f"there is no batch in {directory}")
