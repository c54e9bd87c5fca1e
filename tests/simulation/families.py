"""Which jobs a run asks for, so that one matrix of faults holds for several families.

Name and seed of a run choose its family: seeds that follow each other run a fault in one family
after the other, and one seed runs about as many faults in each. What befalls downloads (D, and the
swarm) is judged as sounds are; a text that is cut or replaced by another is no less a text.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

from modelslab_async import LyricsGenerator, MusicGen, Request, SoundGenerationV7


def _music(prompt: str) -> Request:
    return MusicGen(prompt, max_new_token=256, sampling_rate=10000)


def _sound_of_v7(prompt: str) -> Request:
    return SoundGenerationV7(prompt, model_id="eleven_sound_effect", duration=1)


def _lyrics(prompt: str) -> Request:
    return LyricsGenerator(prompt)


MAKERS: Mapping[str, Callable[[str], Request]] = {
    "music": _music,
    "v7": _sound_of_v7,
    "text": _lyrics,
}
"""A short request for a prompt, by the name of its family."""

SOUNDS = ("music", "v7")

_ALL = [make("any") for make in MAKERS.values()]
SUBMITS = tuple(request.path for request in _ALL)
FETCHES = tuple(sorted({f"{request.fetch}/" for request in _ALL}))


def families_of(name: str) -> tuple[str, ...]:
    """The families that a script can run in."""
    return SOUNDS if name == "swarm" or name.startswith("D") else tuple(MAKERS)


def family_of(name: str, seed: int) -> str:
    """The family that a script runs in by a seed."""
    several = families_of(name)
    return several[(zlib.crc32(name.encode()) + seed) % len(several)]
