"""The commands of the command line, loaded."""

from __future__ import annotations

from collections.abc import Iterator

import click

from modelslab_async._cli import commands


def loaded(*names: str) -> click.Command:
    """The command that is called by these words."""
    found: click.Command = commands
    for name in names:
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), name)
        assert inner is not None, name
        found = inner
    return found


def every_command(*names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands and groups below these words, each with the words that call it."""
    group = loaded(*names)
    assert isinstance(group, click.Group)
    for name in group.commands:
        one = loaded(*names, name)
        yield (*names, name), one
        if isinstance(one, click.Group):
            yield from every_command(*names, name)
