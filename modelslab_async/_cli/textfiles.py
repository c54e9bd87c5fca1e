"""Read the text that a user names: a key, ids, a configuration, whatever editor has saved it."""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path
from typing import Final

import click

from .error_mapping import NotThere

# Windows editors and shells put a mark in front; that of UTF-32 begins as that of UTF-16 does.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(data: bytes) -> str:
    """Text in UTF-8, or in what its byte order mark says, without the mark.

    Raises:
        ValueError: it is neither.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    text = data.decode(encoding)
    if "\0" in text:
        raise ValueError("it holds NUL bytes")
    return text


def as_meant(argument: str) -> str:
    """Words of the command line that a locale of ASCII alone has left undecoded."""
    if argument.isascii():
        return argument
    try:
        return os.fsencode(argument).decode()
    except ValueError:  # of another locale, and decoded by it
        return argument


def read_text(path: Path) -> str:
    """A text file that the user named.

    Raises:
        NotThere: it cannot be read.
    """
    try:
        return decoded(path.read_bytes())
    except OSError as error:
        raise NotThere(f"{path}: {error.strerror}") from None
    except ValueError:
        raise NotThere(f"{path}: not a text file") from None


def from_stdin(who: str) -> str:
    """All of standard input, unless it is a terminal."""
    if sys.stdin.isatty():
        raise click.UsageError(f"{who} reads standard input, and that is a terminal: use a pipe")
    try:
        return decoded(sys.stdin.buffer.read())
    except ValueError:
        raise NotThere("standard input: not a text file") from None
