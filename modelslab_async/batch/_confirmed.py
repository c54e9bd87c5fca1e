"""Tell one set of planned rows from another: what was agreed to is what is paid for.

Whatever lies between the question and the first submit (a manifest that grows, another process in
the directory) changes what this gives. The order of rows does not.
"""

from __future__ import annotations

import hashlib
from typing import Final

from ._rows import storable

_MODULUS: Final = 2**256


class Selection:
    """Rows that would be paid for, as many as there are, in constant memory."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0

    def add(self, row_id: str, payload_hash: str) -> None:
        """One more row, by its id and what it sends."""
        # As the ledger gives them back; a JSON-like frame, so that no id can pass for two.
        text = repr((storable(row_id), storable(payload_hash)))
        self._count += 1
        self._sum += int.from_bytes(hashlib.sha256(text.encode()).digest())

    @property
    def fingerprint(self) -> str:
        """The same for the same rows, whatever their order."""
        return f"{self._count}-{self._sum % _MODULUS:064x}"
