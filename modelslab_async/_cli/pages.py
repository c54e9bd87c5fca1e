"""``help``: the documentation, one page per topic."""

from __future__ import annotations

import re
import sys
from importlib.resources import files

import click

from .console import Console
from .help import Command, nearest
from .options import output_options

_INDEX = "index"
_LINK = re.compile(r"\[([^\[\]]+)\]\((\w+)\.md\)")


@click.command("help", cls=Command)
@click.argument("topic", required=False)
@click.option("--all", "everything", is_flag=True, help="All pages, one after the other.")
@output_options
@click.pass_context
def pages(ctx: click.Context, console: Console, topic: str | None, everything: bool) -> int:
    """Show the page of TOPIC, or the help of the command TOPIC; without it, the list of topics.

    \b
    Examples:
      modelslab-async help batch
      modelslab-async help --all > manual.md
    """
    texts, topic = _texts(), topic or _INDEX
    if everything:
        _show(console, "\n".join(texts.values()))
    elif topic in texts:
        _show(console, texts[topic])
    else:
        return _show_command(ctx, console, topic, [*texts])
    return 0


def _texts() -> dict[str, str]:
    """The text of each page by its topic, the list of topics first."""
    found = {
        page.name.removesuffix(".md"): page.read_text(encoding="utf-8")
        for page in files("modelslab_async").joinpath("help").iterdir()
        if page.name.endswith(".md")
    }
    return {_INDEX: found[_INDEX], **dict(sorted(found.items()))}


def _show(console: Console, text: str) -> None:
    """Print a page: laid out on a terminal, as it is elsewhere."""
    if not sys.stdout.isatty():
        console.print(text.rstrip("\n"))
        return
    from rich.console import Console as Terminal
    from rich.markdown import Markdown

    laid_out = Markdown(_LINK.sub(_linked, text), "ansi_dark", hyperlinks=False)
    Terminal(no_color=not console.colored).print(laid_out)


def _linked(link: re.Match[str]) -> str:
    """A link to another page, as a terminal can follow it."""
    text, topic = link.groups()
    return f"**{text}**" if text == topic else f"{text} (`help {topic}`)"


def _show_command(ctx: click.Context, console: Console, name: str, topics: list[str]) -> int:
    root = ctx.find_root()
    group = root.command
    command = group.get_command(root, name) if isinstance(group, click.Group) else None
    if command is None:
        known = [*topics, *(group.list_commands(root) if isinstance(group, click.Group) else ())]
        meant = nearest(name, known, ", ".join(topics))
        raise click.UsageError(f"no topic {name!r}: {meant}", ctx)
    with click.Context(command, info_name=name, parent=root) as about:
        console.print(command.get_help(about))
    return 0
