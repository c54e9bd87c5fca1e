"""Edit the file of ``config set``: one setting a line, without tables."""

from __future__ import annotations

import json
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from modelslab_async import ConfigurationError

from .._text import decimal_text
from .places import is_reachable, own_files, write_private
from .settings import settable
from .textfiles import decoded, read_bytes


def own_path() -> Path:
    """The file.

    Raises:
        ConfigurationError: this user has no home.
    """
    for path in own_files():
        return path
    raise ConfigurationError("there is no home directory to keep settings in: set HOME")


def write_setting(name: str, value: Any) -> Path:
    """Set one value; the other lines stay as they are.

    Raises:
        ConfigurationError: the file is not TOML, before or after that.
        OSError: it cannot be read or written.
    """
    path = own_path()
    text = decoded(read_bytes(path)) if is_reachable(path) else ""
    line = f"{name} = {_literal(value)}"
    found = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*=.*$", re.MULTILINE)
    if found.search(text):
        text = found.sub(lambda _: line, text, count=1)
    else:
        end = "" if not text or text.endswith("\n") else "\n"
        text = f"{text}{end}{line}\n"
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}; correct it") from None
    write_private(path, text)
    return path


def begin() -> Path:
    """The file, made with all settings as comments if there is none yet."""
    path = own_path()
    if not is_reachable(path):
        lines = ["# Settings of modelslab-async. Keys are kept by: modelslab-async auth login"]
        write_private(path, "\n".join([*lines, *(f"# {name} =" for name in settable())]) + "\n")
    return path


def _literal(value: Any) -> str:
    """A value in TOML: a price as text, so that none of its digits changes."""
    if isinstance(value, Decimal):
        return json.dumps(decimal_text(value))
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
