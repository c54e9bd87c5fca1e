"""Decide the name of a row's file. Nothing here touches a disk.

A template makes it from the row's fields. Two rows never get the same name: whatever a prompt
holds, the number or the id of the row can be read back out of the name.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from difflib import get_close_matches
from string import Formatter
from types import MappingProxyType
from typing import Final

from attrs import frozen

from .._text import folded, is_device, slug
from ..errors import ConfigurationError

DEFAULT_TEMPLATE: Final = "{seq:05d}-{slug}"
"""Gives ``00017-rock-music-from-the-90s``."""

ID_TEMPLATE: Final = "{id}"
"""The default for a manifest each of whose rows has its own id."""

FIELDS: Final = ("seq", "id", "slug", "prompt", "job")
"""What every row has; any other field is a column of the rows."""

_SLUG: Final = 60
_ID: Final = 48
_JOB: Final = 40
_SEQ: Final = 10
_AROUND: Final = len("_" + "-999" + ".flac")
_MAX_LITERAL: Final = 40
_MAX_LISTED: Final = 30
_HASH: Final = 16
_MAX_NAME: Final = 255
_NO_COLUMNS: Final[Mapping[str, str]] = MappingProxyType({})
_LITERAL: Final = re.compile(r"[A-Za-z0-9._+=@,~-]*")
_COLUMN: Final = re.compile(r"[^\W\d][\w -]{0,63}")
_WIDTH: Final = re.compile(r"(0[1-9])?d?")
_TAKE: Final = re.compile(r"(.+)~([1-9][0-9]{0,4})", re.DOTALL)
_MADE: Final = re.compile(rf".*(?:-[0-9a-f]{{{_HASH}}}|\.take[0-9]+)")
"""Names that are made of ids which are no plain names."""
_SEPARATORS: Final = {"seq": tuple("+=@,~._-"), "id": tuple("+=@,~")}
"""Characters that cannot be part of a number, and of an id as a name holds it."""


@frozen
class _Part:
    """Literal text and the field after it, as `string.Formatter.parse` gives them."""

    literal: str
    field: str | None
    spec: str | None
    conversion: str | None


def file_name(
    template: str,
    seq: int,
    row_id: str,
    prompt: str,
    job_id: str,
    *,
    columns: Mapping[str, str] = _NO_COLUMNS,
    ascii_only: bool = False,
) -> str:
    """The name of a row's file, without its extension: one component, at most 230 bytes.

    Args:
        template: literal text and ``{seq}`` (also ``{seq:05d}``), ``{id}``, ``{slug}`` (of the
            prompt; ``{prompt}`` is the same), ``{job}`` and columns, each at most once.
        seq: the row's number in its batch, from 1.
        row_id: the row's own key. It is used unchanged if it is a plain name, else as a slug and a
            part of its SHA-256, so that ids that differ only in case have different files.
            ``x~2``, the second take of ``x``, becomes ``x.take2``.
        prompt: any text.
        job_id: the server's id of the job; any text.
        columns: the row's values of the columns that the template names; any text.
        ascii_only: drop letters of other scripts.

    Raises:
        ConfigurationError: the template cannot be used, as `check_template` says.
    """
    row_name = slug(row_id, _ID, ascii_only=ascii_only)
    take = _TAKE.fullmatch(row_id)
    if take and _is_plain(take[1], ascii_only=ascii_only):
        row_name = f"{take[1]}.take{take[2]}"
    elif not _is_plain(row_id, ascii_only=ascii_only):
        digest = hashlib.sha256(row_id.encode(errors="replace")).hexdigest()
        row_name = f"{row_name}-{digest[:_HASH]}"
    title = slug(prompt, _SLUG, ascii_only=ascii_only)
    values = {name: slug(text, _SLUG, ascii_only=ascii_only) for name, text in columns.items()} | {
        "id": row_name,
        "slug": title,
        "prompt": title,
        "job": slug(job_id, _JOB, ascii_only=True),  # chosen by the server
    }
    name = ""
    for part in _parse(template):
        name += part.literal
        if part.field == "seq":
            name += format(seq, part.spec or "d")
        elif part.field is not None:
            name += values[part.field]
    # Windows opens a device for "con.1", even if no field alone names one.
    return f"_{name}" if is_device(name) else name


def _is_plain(row_id: str, *, ascii_only: bool) -> bool:
    """Whether an id is its own name, and could not be the name of another one."""
    name = slug(row_id, _ID, ascii_only=ascii_only)
    return name == folded(name) == row_id and not _MADE.fullmatch(name)


def longest_name(template: str) -> int:
    """Bytes of the longest name that a template can make, with any extension and number.

    Raises:
        ConfigurationError: the template cannot be used, as `check_template` says.
    """
    return _longest(_parse(template))


def columns_in(template: str) -> tuple[str, ...]:
    """The columns of rows that a template names.

    Raises:
        ConfigurationError: the template cannot be used, as `check_template` says.
    """
    fields = (part.field for part in _parse(template))
    return tuple(name for name in fields if name is not None and name not in FIELDS)


def nearest(name: str, columns: list[str]) -> str:
    """What to write in place of a column that a row does not have."""
    near = get_close_matches(name, [*FIELDS, *columns], n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"its fields are {', '.join([*FIELDS, *columns][:_MAX_LISTED])}"


def names_job(template: str) -> bool:
    """Whether names depend on the server's id of the job."""
    return any(part.field == "job" for part in _parse(template))


def check_template(template: str) -> None:
    """Check a template before the first file needs it.

    It must start or end with ``{seq}`` or ``{id}``, separated from the rest by a character that
    cannot be part of it: for ``{seq}`` one of ``+=@,~._-``, for ``{id}`` one of ``+=@,~``.
    Otherwise two rows could get the same name: ``{id}-{slug}`` is ``a-b-c`` for id ``a`` and for
    id ``a-b``.

    Any name can be that of a column; only the rows tell whether they have it.

    Raises:
        ConfigurationError: it cannot be read, could give two rows one name, or contains a path.
    """
    _parse(template)


@functools.lru_cache(maxsize=16)
def _parse(template: str) -> tuple[_Part, ...]:
    parts: tuple[_Part, ...] = ()
    try:
        parts = tuple(_Part(*found) for found in Formatter().parse(template))
        problem = _problem(parts)
    except ValueError as error:
        problem = f"cannot be read: {error}"
    if problem:
        raise ConfigurationError(
            f"the file name template {template!r:.80} {problem}; the default is {DEFAULT_TEMPLATE}"
        )
    return parts


def _problem(parts: tuple[_Part, ...]) -> str | None:
    for part in parts:
        if not _LITERAL.fullmatch(part.literal):
            return "may hold only A-Z a-z 0-9 and . _ - + = @ , ~ beside its fields"
        if part.field is not None and not _COLUMN.fullmatch(part.field):
            return (
                f"has the field {part.field!r:.40}, but fields are {', '.join(FIELDS)} and the "
                "names of columns: letters, digits, blanks, _ and -"
            )
        width = part.field == "seq" and _WIDTH.fullmatch(part.spec or "")
        if part.conversion or (part.spec and not width):
            return "has a format other than a width for seq, such as {seq:05d}"
    fields = [part.field for part in parts if part.field]
    if len(set(fields)) < max(len(fields), 1):
        return "has a field twice" if fields else "has no field"
    if sum(len(part.literal) for part in parts) > _MAX_LITERAL:
        return f"has more than {_MAX_LITERAL} characters beside its fields"
    if (longest := _longest(parts)) > _MAX_NAME:
        return f"can give names of {longest} bytes, over {_MAX_NAME}; use fewer fields"
    last = parts[-1]
    if parts[0].literal.startswith((".", "-")) or (not last.field and last.literal.endswith(".")):
        return "starts with a dot or a dash, or ends with a dot"
    # What surrounds a single field is the same in every name.
    if fields not in (["seq"], ["id"]) and not _tells_rows_apart(parts):
        return (
            "could give two rows the same name: let it start or end with {seq}, separated from the "
            "rest by one of . _ - + = @ , ~, or with {id}, separated by one of + = @ , ~"
        )
    return None


def _longest(parts: tuple[_Part, ...]) -> int:
    most = {"": 0, "seq": _SEQ, "id": _ID + 1 + _HASH, "job": _JOB}
    return _AROUND + sum(len(part.literal) + most.get(part.field or "", _SLUG) for part in parts)


def _tells_rows_apart(parts: tuple[_Part, ...]) -> bool:
    first, last = parts[0], parts[-1]
    for name, separators in _SEPARATORS.items():
        starts = first.field == name and not first.literal and len(parts) > 1
        if starts and parts[1].literal.startswith(separators):
            return True
        if last.field == name and last.literal.endswith(separators):
            return True
    return False
