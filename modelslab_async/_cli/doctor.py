"""``doctor``: what you or a bug report need to know about this installation."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelslab_async import ModelsLabError, __version__

from .._engine.filesystem import probe
from .._policy.proxies import proxies_of
from .._protocol.urls import origin
from .._text import safe_text
from .config import public
from .connection import Connection
from .console import Console
from .help import Command
from .masking import without_password
from .options import account, output_options
from .places import PROJECT_FILE, is_reachable, own_files, user_files
from .settings import built_in

if TYPE_CHECKING:
    from .settings import Setting

_PACKAGES = ("aiohttp", "anyio", "attrs", "cattrs", "click", "rich", "platformdirs")
_URLS = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PROXY_NAMES = (*_URLS, "NO_PROXY", "SSL_CERT_FILE")


@click.command(cls=Command)
@output_options
@account
def doctor(console: Console, settings: dict[str, Setting]) -> int:
    """Check this installation, ask the API for free, and generate one track on a sandbox.

    \b
    Examples:
      modelslab-async doctor
      modelslab-async doctor --json

    The API is asked for the balance, if there is a key: that is free, and shows whether the key,
    the proxy and the certificates are right. The key is masked, so that the output can go into a
    bug report.
    """
    console.info("checking the installation and the API, free; then one track on a sandbox")
    sections: dict[str, dict[str, Any]] = {
        "versions": _versions(),
        "settings": public(settings),
        "config_files": {
            str(path): "read" if is_reachable(path) else "absent"
            for path in (PROJECT_FILE, *own_files(), *user_files())
        },
        "proxy": _proxy(),
        "network": _network(Connection(settings=settings)),
        "output": _output(),
        "self_test": _self_test(),
    }
    checked = ("network", "output", "self_test")
    healthy = all(sections[name]["ok"] is not False for name in checked)
    if console.json:
        console.print_json({"schema_version": 1, "healthy": healthy, **sections})
    else:
        _print(console, sections)
    return 0 if healthy else 1


def _versions() -> dict[str, str]:
    import sqlite3
    from importlib.metadata import version

    found = {name: version(name) for name in _PACKAGES}
    return {
        "modelslab_async": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
        **found,
    }


def _proxy() -> dict[str, str]:
    """Names in either case, as everybody reads them; a password in a URL is not shown."""
    both = [spelling for name in _PROXY_NAMES for spelling in (name, name.lower())]
    given = {name: os.environ[name] for name in both if os.environ.get(name)}
    return {
        name: without_password(value) if name.upper() in _URLS else value
        for name, value in given.items()
    }


def _network(connection: Connection) -> dict[str, Any]:
    """How the API is reached, and whether it answers: ``None`` without a key to ask with."""
    from .track_results import ask

    about: dict[str, Any] = {
        "origin": without_password(connection.origin),
        "proxy": _proxy_of(connection),
        "certificates": _certificates(),
    }
    if not connection.settings["api_key"].value:
        return {**about, "ok": None, "error": "not asked: there is no key"}
    try:
        connection.check()
        found = ask(connection, lambda client: client.balance())
    except ModelsLabError as error:
        return {**about, "ok": False, "error": str(error)}
    if isinstance(found, int):
        sys.exit(found)
    return {**about, "ok": True}


def _proxy_of(connection: Connection) -> str:
    """The proxy before the API, and the variable that names it."""
    try:
        scheme, host, port = origin(connection.origin)
        proxies = proxies_of(os.environ)
        if not connection.is_live or proxies.proxy_for(scheme, host, port) is None:
            return "none"
    except (ModelsLabError, ValueError) as error:
        return f"cannot be used: {error}"
    text, name = proxies.found[scheme]
    return f"{without_password(text)} ({name})"


def _certificates() -> str:
    """Where trusted certificates are read from."""
    import ssl

    paths = ssl.get_default_verify_paths()
    named = os.environ.get(paths.openssl_cafile_env)
    if named:
        is_there = is_reachable(Path(named))
        return f"{named} ({paths.openssl_cafile_env}){'' if is_there else ': no such file'}"
    return paths.cafile or paths.capath or "none"


def _output() -> dict[str, Any]:
    try:
        here = Path.cwd()
    except OSError as error:  # it was removed, or lies where we may not go
        return {"ok": False, "directory": ".", "error": error.strerror}
    try:
        probe(here)
    except OSError as error:
        return {"ok": False, "directory": str(here), "error": error.strerror}
    return {"ok": True, "directory": str(here)}


def _self_test() -> dict[str, Any]:
    from modelslab_async import MusicGen

    from .track_results import ask

    async def one_track(client: Any) -> Any:
        with tempfile.TemporaryDirectory() as directory:
            generation = await client.generate(MusicGen("piano", max_new_token=256))
            return await client.download(generation, f"{directory}{os.sep}")

    try:
        saved = ask(Connection(settings=built_in(), sandbox=True), one_track)
    except (ModelsLabError, OSError, ModuleNotFoundError) as error:
        return {"ok": False, "error": str(error)}
    if isinstance(saved, int):
        sys.exit(saved)
    return {"ok": True, "seconds": saved.seconds, "bytes": saved.size, "integrity": saved.integrity}


def _print(console: Console, sections: dict[str, dict[str, Any]]) -> None:
    for title, section in sections.items():
        console.print(title.replace("_", " "))
        for name, value in section.items():
            shown = f"{value['value']} ({value['origin']})" if isinstance(value, dict) else value
            console.print(f"  {name}: {safe_text(shown)}")
        if not section:
            console.print("  none")
