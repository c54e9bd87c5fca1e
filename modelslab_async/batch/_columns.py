"""Take from a row the values of the columns that a file name template names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._text import safe_text, shown
from ..endpoints import Request, known_fields
from ..errors import ConfigurationError
from ._naming import DEFAULT_TEMPLATE, columns_in, file_name, nearest
from ._records import from_record, read_record
from ._rows import PlannedRow, Row
from ._sqlite.reader import TEMPLATE, Reader
from ._states import RowState


def columns_of(
    template: str, request: Request, rest: Mapping[str, Any], where: str
) -> dict[str, str]:
    """What `file_name` needs of a row besides its own fields.

    A column is an unknown field of the row, or else a field of its request.

    Args:
        template: of the names.
        request: of the row.
        rest: its unknown fields.
        where: how a message names the row.

    Raises:
        ConfigurationError: the row has no text or number in a column, or the template cannot be
            used.
    """
    named = columns_in(template)
    if not named:
        return {}
    own = {name: getattr(request, name) for name in known_fields(type(request))}
    texts = {name: _text(value) for name, value in (own | {**rest}).items()}
    for name in named:
        if not texts.get(name):
            usable = [column for column, text in texts.items() if text]
            raise ConfigurationError(
                f"the file name template {template!r:.80} names {name!r}, which {where} does not "
                f"have: {safe_text(nearest(name, usable), 400)}"
            )
    return {name: texts[name] for name in named}


def stem_of(row: Row, template: str, job_id: str = "", *, ascii_only: bool) -> str:
    """The name of the file of a row of the ledger, as it was planned, without its extension.

    Raises:
        ConfigurationError: as `columns_of`.
    """
    columns: dict[str, str] = {}
    if columns_in(template):  # a request may hold megabytes of audio
        where = f"row {row.seq}, as it was planned,"
        columns = columns_of(template, *read_record(row.request), where)
    return file_name(
        template, row.seq, row.id, row.prompt, job_id, columns=columns, ascii_only=ascii_only
    )


def kept_template(reader: Reader) -> str | None:
    """How the rows that a ledger holds were to be named; ``None``: it holds none.

    Rows keep their names, whatever later versions choose by default.
    """
    return reader.meta().get(TEMPLATE, DEFAULT_TEMPLATE) if reader.last_seq() else None


def check_names(reader: Reader, template: str, states: Iterable[RowState]) -> None:
    """Check that rows in these states, which may still get a file, have the columns of a template.

    Raises:
        ConfigurationError: one has not.
    """
    if columns_in(template):
        for row in reader.each(states):
            stem_of(row, template, ascii_only=True)


def checked(rows: Iterable[PlannedRow], template: str) -> Iterator[PlannedRow]:
    """The same rows, each of which has the columns of the template.

    Raises:
        ConfigurationError: one has not.
    """
    for row in rows:
        if columns_in(template):
            columns_of(template, *from_record(row.request), f"row {shown(row.id)}")
        yield row


def _text(value: object) -> str:
    """A value as text for a name; empty if it is none for people."""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value) if isinstance(value, bool | int | float) else ""
