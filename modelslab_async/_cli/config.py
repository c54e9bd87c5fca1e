"""``config``: show and change settings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from .._text import decimal_text, safe_text
from .completing import setting_names
from .console import INVOCATION, Console
from .help import Group
from .masking import masked, without_password
from .options import account_settings, output_options, waiting
from .settings import Flags, Setting, read_settings, unknown_settings, value_of


@click.group(cls=Group, no_args_is_help=True)
def config() -> None:
    """Show and change settings.

    \b
    Examples:
      modelslab-async config show
      modelslab-async config set max_jobs 10
      modelslab-async config edit
    """


@config.command()
@waiting
@output_options
@account_settings
def show(console: Console, settings: dict[str, Setting]) -> int:
    """Show every setting and where it comes from; the key is masked.

    \b
    Examples:
      modelslab-async config show
      modelslab-async config show --json

    The first that is set counts: option, environment, .modelslab/config.toml here
    (which cannot set the key, the profile, the origin or allow_addresses), the file
    that `config path` names, the user's config.toml, built in. A .env file here gives
    the key, after the environment, and the origin for that key; nothing else.
    """
    shown = public(settings)
    if console.json:
        console.print_json({"schema_version": 1, "settings": shown})
        return 0
    for name, about in shown.items():
        exact = settings[name].value
        value = decimal_text(exact) if isinstance(exact, Decimal) else safe_text(about["value"])
        console.print(f"{name} = {value}  ({about['origin']})")
    return 0


@config.command("set", no_args_is_help=True)
@click.argument("name", shell_complete=setting_names)
@click.argument("value")
@output_options
def set_(console: Console, name: str, value: str) -> int:
    """Set a setting in the user's own file.

    \b
    Examples:
      modelslab-async config set max_jobs 10
      modelslab-async config set price.sfx.per_job 0.01

    `config show` lists the settings. The key is none of them: `auth login` keeps it.
    """
    from .config_file import write_setting

    if name == "api_key":
        raise click.UsageError(f"a key is no setting: keep it with {INVOCATION} auth login")
    path = write_setting(name, value_of(name, value))
    found = read_settings(Flags())[name]
    if console.json:
        shown = public({name: found})[name]
        console.print_json({"schema_version": 1, "path": str(path), "setting": shown})
    else:
        console.print(f"{name} = {safe_text(public({name: found})[name]['value'])}  ({path})")
    if found.origin != str(path):
        console.warn(f"{name} is set elsewhere, too, and that counts: {found.origin}")
    return 0


@config.command()
@output_options
def path(console: Console) -> int:
    """Print the path of the file that `config set` and `config edit` change.

    \b
    Example:
      cat "$(modelslab-async config path)"
    """
    from .config_file import own_path

    where = own_path()
    if console.json:
        console.print_json({"schema_version": 1, "path": str(where)})
    else:
        console.print(f"{where}")
    return 0


@config.command()
@output_options
def edit(console: Console) -> int:
    """Open that file in the editor of VISUAL or EDITOR, and check it afterwards.

    \b
    Example:
      EDITOR=nano modelslab-async config edit
    """
    from .config_file import begin

    where = begin()
    click.edit(filename=str(where))
    read_settings(Flags())
    for line in unknown_settings():
        console.warn(line)
    return 0


def public(settings: dict[str, Setting]) -> dict[str, dict[str, Any]]:
    """The settings, with secrets masked."""
    safe = {"api_key": masked, "base_url": without_password}
    return {
        name: {
            "value": safe[name](setting.value) if name in safe else _plain(setting.value),
            "origin": setting.origin,
        }
        for name, setting in settings.items()
    }


def _plain(value: Any) -> Any:
    """A price as a number, as all others are."""
    return float(value) if isinstance(value, Decimal) else value
