"""Identify a set of planned rows, so that exactly the confirmed rows are paid for.

Whatever changes between the confirmation and the first submit changes the fingerprint: rows of a
manifest that grows, those of another process, the servers they go to. The order of rows does not.
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
    def of(cls, rows: Iterable[tuple[str, str, bool]]) -> Self:
        """The rows with these ids and payload hashes, and whether enterprise twins get them."""
        selection = cls()
        for row in rows:
            selection.add(*row)
        return selection

    def add(self, row_id: str, payload_hash: str, enterprise: bool) -> None:
        """Add a row.

        The hash names the endpoint, but does not say whether its enterprise twin gets the row
        because the client prefers twins.
        """
        # As the ledger returns them; `repr` separates them unambiguously.
        text = repr((storable(row_id), storable(payload_hash), enterprise))
        self._count += 1
        self._sum += int.from_bytes(hashlib.sha256(text.encode()).digest())

    @property
    def fingerprint(self) -> str:
        """Equal for equal sets of rows."""
        return f"{self._count}-{self._sum % _MODULUS:064x}"
