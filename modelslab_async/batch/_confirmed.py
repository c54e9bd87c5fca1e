"""Identify a set of planned rows, so that exactly the confirmed rows are paid for.

Whatever happens between the confirmation and the first submit (a manifest that grows, another
process in the directory) changes the fingerprint. The order of rows does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, Self

from ._rows import storable

_MODULUS: Final = 2**256


class Selection:
    """A set of rows to pay for, in constant memory."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str]]) -> Self:
        """The rows with these ids and payload hashes."""
        selection = cls()
        for row in rows:
            selection.add(*row)
        return selection

    def add(self, row_id: str, payload_hash: str) -> None:
        """Add a row."""
        # As the ledger returns them; `repr` separates the two unambiguously.
        text = repr((storable(row_id), storable(payload_hash)))
        self._count += 1
        self._sum += int.from_bytes(hashlib.sha256(text.encode()).digest())

    @property
    def fingerprint(self) -> str:
        """Equal for equal sets of rows."""
        return f"{self._count}-{self._sum % _MODULUS:064x}"
