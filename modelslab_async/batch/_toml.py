"""Read a TOML manifest: groups of rows, each a prompt and lists of values. Blocking."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from .._text import safe_text, shown
from ..errors import RequestError
from ._combinations import TAKES, Group
from ._lines import BadRow, inside

_MOST: Final = 16 * 1024 * 1024
_MOST_VALUES: Final = 1024 * 1024
_GROUP: Final = frozenset({"id", TAKES, "matrix", "include", "exclude", "sample"})
"""What belongs to a group, and not to the defaults of all."""


def read_toml(file: BinaryIO, folder: Path) -> Iterator[tuple[int, dict[str, Any]] | BadRow]:
    """The number of each row, from 1, and its fields; or what is wrong with a group.

    Args:
        file: read from its current position to its end.
        folder: of the manifest; files of values lie in it or below.
    """
    try:
        document = _document(file.read(_MOST + 1))
        groups = list(_tables(document))
    except RequestError as error:
        yield BadRow("manifest", None, str(error))
        return
    number = 0
    for where, table in groups:
        try:
            for fields in _group(table, document.get("defaults", {}), folder).rows():
                number += 1
                yield number, fields
        except RequestError as error:
            yield BadRow(where, None, str(error))


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > _MOST:
        raise RequestError(f"is over {_MOST} bytes; write rows as JSONL instead")
    try:
        return tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        raise RequestError("is not UTF-8; save it as UTF-8") from None
    except RecursionError:
        raise RequestError("is nested too deep") from None
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"is not TOML: {safe_text(error)}") from None


def _tables(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each group with how a message names it."""
    defaults = document.get("defaults", {})
    if not isinstance(defaults, Mapping) or not _GROUP.isdisjoint(defaults):
        raise RequestError(
            f"defaults is {shown(defaults)}, but must be a table of fields of a request"
        )
    rest = {name: value for name, value in document.items() if name not in ("defaults", "tracks")}
    tracks = document.get("tracks")
    if tracks is None:
        yield "manifest", rest
        return
    if rest:
        raise RequestError(
            f"{safe_text(next(iter(rest)), 80)} stands beside [[tracks]]: write it into each of "
            "them, or below [defaults]"
        )
    if not isinstance(tracks, list) or not all(isinstance(one, Mapping) for one in tracks):
        raise RequestError("tracks must be tables: write [[tracks]] above each")
    for number, one in enumerate(tracks, 1):
        yield f"tracks {number}", one


def _group(given: Mapping[str, Any], defaults: Mapping[str, Any], folder: Path) -> Group:
    matrix = given.get("matrix")
    if isinstance(matrix, Mapping):
        read: Callable[[str, Any], Any] = partial(_values, folder)
        given = {**given, "matrix": {name: read(name, values) for name, values in matrix.items()}}
    return Group.of({**defaults, **given})


def _values(folder: Path, name: str, values: Any) -> Any:
    """The list, or the lines of the file that takes its place."""
    if not (isinstance(values, Mapping) and {*values} == {"file"}):
        return values
    path, name = values["file"], safe_text(name, 80)
    found = inside(folder, path)
    if found is None:
        raise RequestError(
            f"matrix.{name}.file is {shown(path)}, but must be the path of a file in the "
            "manifest's directory or below it"
        )
    try:
        if not found.is_file():  # opening a pipe would block
            raise RequestError(f"matrix.{name}.file: there is no file {path!r:.200}")
        with found.open("rb") as file:
            text = file.read(_MOST_VALUES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RequestError(f"matrix.{name}.file {path!r:.200} cannot be read: {reason}") from None
    lines = map(str.strip, text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
