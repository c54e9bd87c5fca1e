"""Read a text file or pipe that the user names: a key, ids, a configuration."""

from __future__ import annotations

import codecs
import errno
import os
import select
import sys
import time
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


LONGEST: Final = 16 * 1024 * 1024
"""Bytes of any text that is read whole."""

_PATIENCE: Final = 120.0
"""Seconds until all of a text must be there: a pipe may come from a program that asks a person."""


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


def read_bytes(path: Path, longest: int = LONGEST) -> bytes:
    """All of a file, or of a pipe that ends in time.

    Raises:
        OSError: it cannot be read, or is longer than that, as devices without an end are.
    """
    # Opening a pipe without a writer, or reading one that is never closed, would block for ever.
    with open(path, "rb", buffering=0, opener=_at_once) as file:
        ready = select.poll()
        ready.register(file, select.POLLIN)
        end = time.monotonic() + _PATIENCE
        data = bytearray()
        while len(data) <= longest:
            if not ready.poll(max(0.0, end - time.monotonic()) * 1000):
                raise TimeoutError(errno.ETIMEDOUT, f"it does not end within {_PATIENCE:.0f} s")
            part = file.read(longest + 1 - len(data))
            if part == b"":
                return bytes(data)
            data += part or b""
    raise OSError(errno.EFBIG, f"it is longer than {longest} bytes")


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def read_text(path: Path, longest: int = LONGEST) -> str:
    """A text file that the user named.

    Raises:
        NotThere: it cannot be read, or is longer than that.
    """
    try:
        return decoded(read_bytes(path, longest))
    except OSError as error:
        raise NotThere(f"{path}: {error.strerror}") from None
    except ValueError:
        raise NotThere(f"{path}: not a text file") from None


def from_stdin(who: str, longest: int = LONGEST) -> str:
    """All of standard input, unless it is a terminal, or longer than that."""
    if sys.stdin.isatty():
        raise click.UsageError(f"{who} reads standard input, and that is a terminal: use a pipe")
    data = sys.stdin.buffer.read(longest + 1)
    if len(data) > longest:
        raise NotThere(f"standard input: it is longer than {longest} bytes")
    try:
        return decoded(data)
    except ValueError:
        raise NotThere("standard input: not a text file") from None
