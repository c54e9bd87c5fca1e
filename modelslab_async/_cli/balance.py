"""``balance``: what is left in the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .._text import safe_text
from .connection import Connection
from .console import Console
from .help import Command
from .options import account, output_options

if TYPE_CHECKING:
    from .settings import Setting


@click.command(cls=Command)
@click.option("--sandbox", is_flag=True, help="Ask a sandbox: no key, no network.")
@output_options
@account
def balance(console: Console, settings: dict[str, Setting], sandbox: bool) -> int:
    """Show what is left in the account's wallet.

    \b
    Examples:
      modelslab-async balance --sandbox
      modelslab-async balance --json
    """
    connection = Connection(settings=settings, sandbox=sandbox)
    connection.check()
    console.info(f"asking {connection.origin}")
    from .track_results import ask

    found = ask(connection, lambda client: client.balance())
    if isinstance(found, int):
        return found
    if console.json:
        console.print_json(
            {"schema_version": 1, "amount": found.amount, "currency": found.currency}
        )
    else:
        console.print(f"{found.amount:.2f} {safe_text(found.currency)}".rstrip())
    return 0
