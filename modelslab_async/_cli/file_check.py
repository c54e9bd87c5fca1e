"""Say which files of a batch are not as they were saved; what several commands share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from modelslab_async import LedgerError

from .._text import safe_text
from ..batch import FaultKind, verify_batch
from .error_mapping import OK, OTHER, SOME_FAILED

if TYPE_CHECKING:
    from ..batch import FileFault


@define
class FileCheck:
    """What a check of a batch's files has found.

    Attributes:
        kinds: how many files have each kind of fault.
        example: the first fault in words.
    """

    kinds: Counter[FaultKind] = field(factory=Counter)
    example: str = ""

    @classmethod
    def of(cls, faults: Iterable[FileFault]) -> FileCheck:
        """The summary of these faults."""
        check = cls()
        for fault in faults:
            check.add(fault)
        return check

    def add(self, fault: FileFault) -> None:
        """One more fault."""
        self.kinds[fault.kind] += 1
        self.example = self.example or described(fault)

    @property
    def lost(self) -> int:
        """Files that are known not to be there as they were saved: a run can download them."""
        return sum(count for kind, count in self.kinds.items() if kind.is_lost)

    @property
    def exit_code(self) -> int:
        """8 when files are missing or changed, 1 when some alone could not be checked."""
        if self.lost:
            return SOME_FAILED
        return OTHER if self.kinds else OK

    @property
    def words(self) -> str:
        """How many files have which fault, and an example; empty if none has."""
        if not self.kinds:
            return ""
        counts = ", ".join(f"{self.kinds[kind]} {kind}" for kind in FaultKind if self.kinds[kind])
        return f"files of done rows: {counts}; such as {self.example}"

    def as_json(self) -> dict[str, Any]:
        """The counts, for programs."""
        return {kind.value: self.kinds[kind] for kind in FaultKind}


def quick_check(directory: Path) -> FileCheck:
    """Compare existence and size of a batch's files; nothing is found where there is no ledger."""
    try:
        return FileCheck.of(verify_batch(directory))
    except LedgerError:
        return FileCheck()


def described(fault: FileFault) -> str:
    """A fault in one line, safe for a terminal."""
    return f"row {fault.row}: {safe_text(f'{fault.path} {fault.reason}', 300)}"
