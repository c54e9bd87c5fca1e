"""Commands that are loaded when they are used, and help in sections.

Options may stand before the name of their command, too: ``-v batch`` is ``batch -v``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

from .console import help_command

_OPTIONS = "Options"
_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Rows and money": (
        *("dry_run", "yes", "no_input", "only", "limit", "max_jobs_total", "max_cost"),
        *("price_per_job", "price_per_second", "prices", "retry", "accept_copy", "same_account"),
    ),
    "Account and network": (
        *("api_key_file", "api_key_stdin", "api_key", "profile", "base_url", "max_jobs", "timeout"),
        *("connect_timeout", "allow_addresses", "enterprise", "webhook_url", "webhook_port"),
    ),
    "Display": ("as_json", "quiet", "verbose", "no_color", "help"),
}
"""Options by their names in Python; all others are in the first section."""

_SECTION_OF = {name: title for title, names in _SECTIONS.items() for name in names}


class Command(click.Command):
    """A command whose help shows its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each section's in their order."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in (_OPTIONS, *_SECTIONS)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections[_SECTION_OF.get(str(parameter.name), _OPTIONS)].append(record)
        written = {title: records for title, records in sections.items() if records}
        if len(written) == 1:  # nothing to tell apart
            written = {_OPTIONS: [record for records in written.values() for record in records]}
        for title, records in written.items():
            with formatter.section(title):
                formatter.write_dl(records)


class Group(click.Group):
    """A group of commands that takes their options before their names, too."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the group's own options."""
        return super().parse_args(ctx, self._command_first(ctx, args))

    def _command_first(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The same arguments with the command before its options."""
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if not args or not args[0].startswith("-") or args[0] in own:
            return args
        for is_misspelled in (False, True):
            for index, word in enumerate(args):
                command = self.get_command(ctx, word) if word in self.commands else None
                options = _options(command, ctx) if command else {}
                known = is_misspelled or all(_is_known(one, options) for one in args[:index])
                if command and known and not any(_operands(args[:index], options)):
                    return [word, *args[:index], *args[index + 1 :]]
        if not ctx.resilient_parsing:
            word = next(_operands(args, _options(self, ctx)), "")
            if word and not own & set(args):
                raise click.NoSuchCommand(word, possibilities=self.commands, ctx=ctx)
        return args


class Later(click.Command):
    """Stands for a command until that is used."""

    def __init__(self, name: str, about: str, load: Callable[[], click.Command]) -> None:
        super().__init__(name, short_help=about)
        self.load = load


class Root(Group):
    """The program: its commands in sections, each loaded when it is used.

    Args:
        sections: the commands of each section, in the order of the help.
    """

    def __init__(self, *, sections: Mapping[str, Sequence[Later]], **more: Any) -> None:
        all_of_them: dict[str, click.Command] = {
            str(one.name): one for section in sections.values() for one in section
        }
        super().__init__(commands=all_of_them, **more)
        self._sections = sections

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        found = self.commands.get(cmd_name)
        if isinstance(found, Later):
            found = self.commands[cmd_name] = found.load()
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of each section."""
        for title, section in self._sections.items():
            self.format_section(formatter, title, section)

    @property
    def main_section(self) -> tuple[str, Sequence[Later]]:
        """The first section: its title and commands."""
        return next(iter(self._sections.items()))

    def format_section(
        self, formatter: click.HelpFormatter, title: str, section: Sequence[Later]
    ) -> None:
        """Write the commands of one section."""
        with formatter.section(title):
            formatter.write_dl([(str(one.name), str(one.short_help)) for one in section])


class Choice(click.Choice[str]):
    """One of some words; for another one, the nearest is named."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """What is wrong with a word."""
        near = get_close_matches(str(value), list(self.choices), n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        return f"{super().get_invalid_choice_message(value, ctx)}{meant}"


def nearest(word: str, known: Sequence[str], otherwise: str) -> str:
    """The question whether another word was meant, or what to say where none is near."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def short_help(ctx: click.Context) -> str:
    """What a command is for, with examples: for those who called it without arguments."""
    command, formatter = ctx.command, ctx.make_formatter()
    command.format_usage(ctx, formatter)
    about = inspect.cleandoc(command.help or "").split("\n\n")
    with formatter.indentation():
        for paragraph in about[:2]:
            formatter.write_paragraph()
            formatter.write_text(paragraph)
    if isinstance(command, Root):
        command.format_section(formatter, *command.main_section)
    elif isinstance(command, Group):
        command.format_commands(ctx, formatter)
    text = formatter.getvalue().rstrip("\n")
    return f"{text}\n\nAll options: {help_command(ctx.command_path)}"


def _options(command: click.Command, ctx: click.Context) -> dict[str, click.Option]:
    """The options of a command, or of all commands of a group, by their spellings."""
    inner: list[click.Command | None] = [command]
    if isinstance(command, click.Group):
        inner += [command.get_command(ctx, name) for name in command.commands]
    return {
        name: parameter
        for one in inner
        for parameter in (one.params if one else ())
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def _operands(words: Sequence[str], options: Mapping[str, click.Option]) -> Iterator[str]:
    """The words that are neither options nor their values."""
    is_value = False
    for word in words:
        if is_value:
            is_value = False
        elif word.startswith("-") and word != "-":
            is_value = _wants_value(word, options)
        else:
            yield word


def _is_known(word: str, options: Mapping[str, click.Option]) -> bool:
    """Whether a word is one of the options, or none at all."""
    name = word.partition("=")[0] if word.startswith("--") else word[:2]
    return name in options or not word.startswith("-")


def _wants_value(word: str, options: Mapping[str, click.Option]) -> bool:
    """Whether the next word is the value of this option, or of these letters."""
    if word.startswith("--"):
        return word in options and _takes_value(options[word])
    letters = word[1:]
    for index, letter in enumerate(letters):
        option = options.get(f"-{letter}")
        if option is not None and _takes_value(option):
            return index == len(letters) - 1
    return False


def _takes_value(option: click.Option) -> bool:
    return not (option.is_flag or option.count)
