"""Make bytes that look almost like those of a corpus: for the suite, which has no atheris."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

_EDITS = 4
_LONGEST = 24


def near(random: Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One of the seeds after a few edits, or the start of one, or any bytes."""
    if random.random() < 0.1:
        return random.randbytes(random.randrange(300))
    data = random.choice(seeds)
    if random.random() < 0.2:
        data = _part(random, data)
    for _ in range(random.randint(1, _EDITS)):
        at = random.randint(0, len(data))
        gone = random.choice((0, 1, random.randint(0, _LONGEST)))
        data = data[:at] + _piece(random, seeds, words) + data[at + gone :]
    return data


def _piece(random: Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    match random.randrange(4):
        case 0:
            return b""
        case 1:
            return random.randbytes(random.randint(1, 4))
        case 2:
            return random.choice(words)
        case _:
            return _part(random, random.choice(seeds))


def _part(random: Random, data: bytes) -> bytes:
    start, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
    return data[start:end]
