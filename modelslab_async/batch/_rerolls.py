"""Decide which new takes rejected files call for. The same decisions call for the same rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..errors import RequestError
from ._decisions import Verdict, read_decisions
from ._rows import PlannedRow, Row
from ._sqlite.reader import Reader
from ._states import RowState

_INSTEAD_OF: Final = "instead_of"
_TAKE: Final = re.compile(r"(.*)~([2-9]|[1-9][0-9]{1,5})", re.DOTALL)


def rerolls(directory: Path) -> list[PlannedRow]:
    """A new take for each rejected file, as rows to plan; those planned before are among them.

    The take of row ``intro`` is row ``intro~2``, and that of ``intro~2`` is ``intro~3``, or the
    next that is free. It sends the same request; its field ``instead_of`` names the rejected row.
    `Ledger.plan` adds only those that the batch does not have. Blocking.

    Args:
        directory: of the batch.

    Raises:
        RequestError: a rejected row has a ``track_id`` of its own, which no other row may have.
        LedgerError: there is no batch, or the ledger or the decisions cannot be read.
    """
    decisions = read_decisions(directory)
    with Reader.open(directory) as reader:
        taken = set[str]()
        return [
            _take_of(row, reader, taken)
            for row in reader.each((RowState.DONE,))
            if (decision := decisions.of(row)) and decision.verdict is Verdict.REJECTED
        ]


def _take_of(row: Row, reader: Reader, taken: set[str]) -> PlannedRow:
    request: Mapping[str, object] = json.loads(row.request)
    if request.get("track_id") is not None:
        raise RequestError(
            f"row {row.id} has its own track_id, and two jobs cannot have one: give its new take "
            "a row of the manifest",
            field="track_id",
        )
    found = _TAKE.fullmatch(row.id)
    base, number = (found[1], int(found[2])) if found else (row.id, 1)
    while True:
        number += 1
        new = f"{base}~{number}"
        # A row of the manifest, such as its second take, is no answer to this decision.
        if new not in taken and _is_free(new, row, reader):
            break
    taken.add(new)
    fields = {**request, "id": new, _INSTEAD_OF: row.id}
    return PlannedRow(new, fields, row.payload_hash, row.prompt)


def _is_free(new: str, row: Row, reader: Reader) -> bool:
    """Whether no row has this id, or the one that was made instead of ``row`` before."""
    if reader.planned_as(new) is None:
        return True
    found = reader.row(new)
    is_same = found.payload_hash == row.payload_hash
    return is_same and json.loads(found.request).get(_INSTEAD_OF) == row.id
