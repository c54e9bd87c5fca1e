"""``schema``: the JSON Schemas of what commands print."""

from __future__ import annotations

import json
from typing import Any

import click

from .completing import schema_names
from .console import Console
from .help import Command, nearest
from .options import output_options


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=schema_names)
@output_options
def schema(console: Console, name: str | None) -> int:
    """Print the JSON Schema of what a command prints with --json, or list them all.

    \b
    Examples:
      modelslab-async schema
      modelslab-async schema succeeded
      modelslab-async schema --json

    Without a NAME, --json prints all of them as one object. A field has one type
    wherever it stands. Within one schema_version, fields are only added.
    """
    from .schemas import SCHEMAS, schema_of

    if name is None and not console.json:
        width = max(map(len, SCHEMAS))
        for one, (about, _) in SCHEMAS.items():
            console.print(f"{one:<{width}}  {about}")
        return 0
    shown: dict[str, Any]
    if name is None:
        shown = {one: schema_of(one) for one in SCHEMAS}
    elif name in SCHEMAS:
        shown = schema_of(name)
    else:
        known = list(SCHEMAS)
        raise click.UsageError(
            f"there is no schema {name!r}; {nearest(name, known, 'schema lists them all')}"
        )
    console.print(json.dumps(shown, indent=None if console.json else 2))
    return 0
