"""All planted bugs, by what they would cost whom."""

from __future__ import annotations

from typing import Final

from . import batches, disk, keys, money, outputs, talk, waits
from .mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    *money.MUTANTS,
    *keys.MUTANTS,
    *disk.MUTANTS,
    *batches.MUTANTS,
    *waits.MUTANTS,
    *talk.MUTANTS,
    *outputs.MUTANTS,
)
