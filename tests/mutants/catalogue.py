"""All planted bugs, by what they would cost whom."""

from __future__ import annotations

from typing import Final

from . import batches, disk, keys, money, outputs, sounds, talk, waits
from .mutant import Mutant

KINDS: Final[dict[str, tuple[Mutant, ...]]] = {
    "money": money.MUTANTS,
    "keys": keys.MUTANTS,
    "disk": disk.MUTANTS,
    "batches": batches.MUTANTS,
    "waits": waits.MUTANTS,
    "talk": talk.MUTANTS,
    "outputs": outputs.MUTANTS,
    "sounds": sounds.MUTANTS,
}

MUTANTS: Final[tuple[Mutant, ...]] = tuple(one for kind in KINDS.values() for one in kind)
