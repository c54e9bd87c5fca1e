"""Decide what the file of a row is called. Nothing here touches a disk.

A name is made from our own fields by a template, and two rows never get the same one: whatever a
prompt holds, the part that tells rows apart can be read back out of the name.
"""

from __future__ import annotations

import functools
import hashlib
import re
from string import Formatter
from typing import Final

from attrs import frozen

from .._text import folded, is_device, slug
from ..errors import ConfigurationError

DEFAULT_TEMPLATE: Final = "{seq:05d}-{slug}"
"""Gives ``00017-rock-music-from-the-90s``."""

FIELDS: Final = ("seq", "id", "slug", "job")

_SLUG: Final = 60
_ID: Final = 48
_JOB: Final = 40
_SEQ: Final = 10
_AROUND: Final = len("_" + "-999" + ".flac")
_MAX_LITERAL: Final = 40
_HASH: Final = 16
_LITERAL: Final = re.compile(r"[A-Za-z0-9._+=@,~-]*")
_WIDTH: Final = re.compile(r"(0[1-9])?d?")
_HASHED: Final = re.compile(rf".*-[0-9a-f]{{{_HASH}}}")
_OUTSIDE_IDS: Final = "+=@,~"  # what neither `slug` nor `_plain` lets into a name
_OUTSIDE_SEQS: Final = _OUTSIDE_IDS + "._-"


@frozen
class _Part:
    """Literal text, and the field that follows it, if one does."""

    literal: str
    field: str | None
    spec: str


def file_name(
    template: str, seq: int, row_id: str, prompt: str, job_id: str, *, ascii_only: bool = False
) -> str:
    """The name of a row's file, without its ending: one component, at most 230 bytes.

    Args:
        template: literal text and ``{seq}`` (also ``{seq:05d}``), ``{id}``, ``{slug}`` (of the
            prompt) and ``{job}``, each at most once.
        seq: the row's number in its batch, from 1.
        row_id: the row's own key. It stands as it is if it is a plain name, else as a slug and a
            part of its SHA-256, so that ids that differ only in case have different files.
        prompt: may hold anything.
        job_id: the server's id of the job; may hold anything, or nothing.
        ascii_only: keep no letters of other scripts.

    Raises:
        ConfigurationError: the template cannot be used, as `check_template` says.
    """
    values = {
        "id": _plain(row_id, ascii_only=ascii_only),
        "slug": slug(prompt, _SLUG, ascii_only=ascii_only),
        "job": slug(job_id, _JOB, ascii_only=True),  # which the server chooses
    }
    name = ""
    for part in _parse(template):
        name += part.literal
        if part.field == "seq":
            name += format(seq, part.spec or "d")
        elif part.field is not None:
            name += values[part.field]
    # Windows opens a device for "con.1", also where no field alone names it.
    return f"_{name}" if is_device(name) else name


def longest_name(template: str) -> int:
    """Bytes of the longest name that a template can give, with any ending and number.

    Raises:
        ConfigurationError: the template cannot be used, as `check_template` says.
    """
    most = {"seq": _SEQ, "id": _ID + 1 + _HASH, "slug": _SLUG, "job": _JOB}
    parts = _parse(template)
    return _AROUND + sum(len(part.literal) + most.get(part.field or "", 0) for part in parts)


def names_job(template: str) -> bool:
    """Whether names depend on the server's id of the job."""
    return any(part.field == "job" for part in _parse(template))


def check_template(template: str) -> None:
    """Check a template before the first file needs it.

    ``{seq}`` or ``{id}`` must open or close it, set off from the rest by a character that cannot
    be part of it: for ``{seq}`` one of ``+=@,~._-``, for ``{id}`` one of ``+=@,~``. Otherwise two
    rows could end in the same name: ``{id}-{slug}`` is ``a-b-c`` for id ``a`` and for id ``a-b``.

    Raises:
        ConfigurationError: it cannot be read, could name two rows alike, or has a path in it.
    """
    _parse(template)


def _plain(row_id: str, *, ascii_only: bool) -> str:
    name = slug(row_id, _ID, ascii_only=ascii_only)
    if name == folded(name) == row_id and not _HASHED.fullmatch(name):
        return name
    return f"{name}-{hashlib.sha256(row_id.encode(errors='replace')).hexdigest()[:_HASH]}"


@functools.lru_cache(maxsize=16)
def _parse(template: str) -> tuple[_Part, ...]:
    try:
        parts = tuple(_Part(*_checked(*found)) for found in Formatter().parse(template))
    except ValueError as error:
        raise ConfigurationError(
            f"the file name template {template!r:.80} cannot be used: {error}; "
            f"the default is {DEFAULT_TEMPLATE}"
        ) from None
    problem = _problem(parts)
    if problem:
        raise ConfigurationError(
            f"the file name template {template!r:.80} {problem}; the default is {DEFAULT_TEMPLATE}"
        )
    return parts


def _checked(
    literal: str, field: str | None, spec: str | None, conversion: str | None
) -> tuple[str, str | None, str]:
    if not _LITERAL.fullmatch(literal):
        raise ValueError("beside fields it may hold A-Z a-z 0-9 and . _ - + = @ , ~ only")
    if field is not None and field not in FIELDS:
        raise ValueError(f"there is no field {field!r}, only {', '.join(FIELDS)}")
    if conversion or (spec and not (field == "seq" and _WIDTH.fullmatch(spec))):
        raise ValueError("the one format that it may hold is a width for seq, as in {seq:05d}")
    return literal, field, spec or ""


def _problem(parts: tuple[_Part, ...]) -> str | None:
    fields = [part.field for part in parts if part.field]
    if not fields:
        return "holds no field"
    if len(set(fields)) < len(fields):
        return "holds a field twice"
    literal = "".join(part.literal for part in parts)
    if len(literal) > _MAX_LITERAL:
        return f"holds more than {_MAX_LITERAL} characters beside its fields"
    if parts[0].literal.startswith((".", "-")) or _ending(parts).endswith("."):
        return "starts with a dot or a dash, or ends with a dot"
    if not _tells_rows_apart(parts):
        return (
            "could name two rows alike: let it start or end with {seq}, parted from the rest by "
            "one of . _ - + = @ , ~, or with {id}, parted by one of + = @ , ~"
        )
    return None


def _ending(parts: tuple[_Part, ...]) -> str:
    return "" if parts[-1].field else parts[-1].literal


def _tells_rows_apart(parts: tuple[_Part, ...]) -> bool:
    fields = [part.field for part in parts if part.field]
    if fields in (["seq"], ["id"]):
        return True  # what stands around it is the same in every name
    return any(
        _set_off(parts, name, outside)
        for name, outside in (("seq", _OUTSIDE_SEQS), ("id", _OUTSIDE_IDS))
    )


def _set_off(parts: tuple[_Part, ...], name: str, outside: str) -> bool:
    first, last = parts[0], parts[-1]
    if first.field == name and not first.literal and len(parts) > 1:
        return parts[1].literal.startswith(tuple(outside))
    return last.field == name and last.literal.endswith(tuple(outside))
