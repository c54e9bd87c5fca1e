"""Which jobs a run asks for, so that one matrix of faults holds for several families.

Name and seed of a run choose its family: of two seeds that follow each other, one runs each fault
in the one family, one in the other; of the faults of one seed, half run in either.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

from modelslab_async import MusicGen, Request, SoundGenerationV7


def _music(prompt: str) -> Request:
    return MusicGen(prompt, max_new_token=256, sampling_rate=10000)


def _sound_of_v7(prompt: str) -> Request:
    return SoundGenerationV7(prompt, model_id="eleven_sound_effect", duration=1)


MAKERS: Mapping[str, Callable[[str], Request]] = {"music": _music, "v7": _sound_of_v7}
"""A short request for a prompt, by the name of its family."""

_ALL = [make("any") for make in MAKERS.values()]
SUBMITS = tuple(request.path for request in _ALL)
FETCHES = tuple(f"{request.fetch}/" for request in _ALL)


def family_of(name: str, seed: int) -> str:
    """The family that a script runs in by a seed."""
    return list(MAKERS)[(zlib.crc32(name.encode()) + seed) % len(MAKERS)]
