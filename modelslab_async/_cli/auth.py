"""``auth``: keep an API key in a file of its own, never on a command line."""

from __future__ import annotations

import sys

import click

from .connection import Connection
from .console import INVOCATION, Console
from .env_file import ENV_FILE
from .error_mapping import OK, NoKey, NotThere, meaning_of
from .help import Group
from .keys import LONGEST_KEY, forget_key, keep_key, profiles
from .masking import masked
from .options import account_settings, output_options
from .settings import Setting
from .textfiles import from_stdin


@click.group(cls=Group, no_args_is_help=True)
def auth() -> None:
    """Keep an API key, so that no command line and no environment has to hold it.

    \b
    Examples:
      modelslab-async auth login
      modelslab-async auth login --profile work < key.txt
      modelslab-async auth status
    """


@auth.command()
@output_options
@account_settings
def login(console: Console, settings: dict[str, Setting]) -> int:
    """Keep the key of an account: typed, from a pipe, or from --api-key-file.

    \b
    Examples:
      modelslab-async auth login
      modelslab-async auth login --profile work < key.txt

    It is kept in the system's keyring if the package keyring is installed and finds
    one, else in a file that only you can read, once the API has accepted it; that
    check is free. Without --profile it is the key of the default profile.
    """
    if click.get_current_context().params.get("api_key"):
        raise click.UsageError("a key is never given on the command line: type it, or use a pipe")
    given = settings["api_key"]
    key = str(given.value) if given.origin == "flag" else _typed_key()
    if not key:
        raise click.UsageError("there is no key; nothing was kept")
    named = {**settings, "api_key": Setting(key, "flag")}
    connection = Connection(settings=named)
    connection.check()
    code = _refusal(connection, console)
    if code:
        return code
    place = keep_key(settings["profile"].value, key)
    if given.origin.startswith("environment") or given.origin == ENV_FILE:
        console.warn(f"another key counts before the kept one: {given.origin}")
    _report(console, settings["profile"].value, Setting(key, place))
    return 0


@auth.command()
@output_options
@account_settings
def logout(console: Console, settings: dict[str, Setting]) -> int:
    """Remove the kept key of a profile.

    \b
    Example:
      modelslab-async auth logout --profile work
    """
    profile = settings["profile"].value
    path = forget_key(profile)
    if path is None:
        raise NotThere(f"no key is kept for profile {profile!r}")
    if console.json:
        console.print_json({"schema_version": 1, "profile": profile, "removed": str(path)})
    else:
        console.info(f"removed the key of profile {profile!r}")
    return 0


@auth.command()
@output_options
@account_settings
def status(console: Console, settings: dict[str, Setting]) -> int:
    """Show which key is used, masked, and which profiles have one. Asks nobody.

    \b
    Example:
      modelslab-async auth status --json
    """
    _report(console, settings["profile"].value, settings["api_key"])
    return OK if settings["api_key"].value else meaning_of(NoKey("")).exit_code


def _typed_key() -> str:
    """From a person or a pipe."""
    if not sys.stdin.isatty():
        return from_stdin("auth login", LONGEST_KEY).strip()
    key: str = click.prompt("API key", hide_input=True, err=True, default="", show_default=False)
    return key.strip()


def _refusal(connection: Connection, console: Console) -> int:
    """The exit code for a key that the API refuses, or for a signal; 0: it may be kept.

    A key that cannot be checked is kept: the network may be down.
    """
    from modelslab_async import AuthenticationError, ModelsLabError, PermissionDenied

    from .track_results import ask

    console.info(f"asking {connection.origin} whether it accepts the key")
    try:
        found = ask(connection, lambda client: client.balance())
    except (AuthenticationError, PermissionDenied):
        raise
    except ModelsLabError as error:
        console.warn(f"the key was not checked: {error}")
        return 0
    return found if isinstance(found, int) else 0


def _report(console: Console, profile: str, key: Setting) -> None:
    if console.json:
        about = {"profile": profile, "key": masked(key.value), "origin": key.origin}
        console.print_json({"schema_version": 1, **about, "profiles": profiles()})
        return
    console.print(f"{profile}: {masked(key.value) or 'no key'}  ({key.origin})")
    others = [name for name in profiles() if name != profile]
    if others:
        console.print(f"profiles: {', '.join(others)}")
    if not key.value:
        console.info(f"keep one with {INVOCATION} auth login")
