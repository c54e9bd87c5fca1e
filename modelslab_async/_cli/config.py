"""``config show``: every setting, and where it comes from."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from .._text import decimal_text, safe_text
from .console import Console
from .help import Group
from .options import account, output_options, waiting
from .settings import masked, without_password

if TYPE_CHECKING:
    from .settings import Setting


@click.group(cls=Group, no_args_is_help=True)
def config() -> None:
    """Show the settings in force.

    \b
    Examples:
      modelslab-async config show
      modelslab-async config show --json
    """


@config.command()
@waiting
@output_options
@account
def show(console: Console, settings: dict[str, Setting]) -> int:
    """Show every setting and where it comes from; the key is masked.

    \b
    Examples:
      modelslab-async config show
      modelslab-async config show --json

    The first that is set counts: option, environment, .modelslab/config.toml here
    (which cannot set the key, the profile, the origin or allow_addresses), the
    user's config.toml, built in.
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
