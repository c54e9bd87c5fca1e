"""Mix sound as arithmetic on whole numbers. Nothing here waits, reads a clock or draws a number.

A stretch of sound is one `int`: sample `i` is worth `sample << (16 * i)`, and samples are signed.
Because that is a plain sum, `+` mixes two sounds, `<<` delays one and `*` makes it louder, each in
one pass of C; the samples come out again once a bias of 0x8000 per lane has made them all positive.
This is what lets the standard library alone mix music much faster than it is heard.
"""

from __future__ import annotations

from array import array
from functools import lru_cache

LANE_BITS = 16
_BIAS = b"\x00\x80"


@lru_cache(maxsize=6)
def bias(count: int) -> int:
    """0x8000 in each of `count` lanes."""
    return int.from_bytes(_BIAS * count, "little")


@lru_cache(maxsize=2)
def _mask(count: int) -> int:
    return (1 << (LANE_BITS * count)) - 1


@lru_cache(maxsize=4)
def _reach(limit: int, count: int) -> int:
    """`limit` in each of `count` lanes."""
    return int.from_bytes(limit.to_bytes(2, "little") * count, "little")


def from_biased(lanes: bytes) -> int:
    """The sound whose little-endian lanes hold `sample + 0x8000`."""
    return int.from_bytes(lanes, "little") - bias(len(lanes) // 2)


def delayed(sound: int, frames: int) -> int:
    """The same sound, `frames` samples later."""
    return sound << (LANE_BITS * frames)


def mixed(events: list[tuple[int, int]]) -> int:
    """One sound out of (start frame, sound) pairs; works from the last start back to the first."""
    together: dict[int, int] = {}
    for start, sound in events:
        together[start] = together.get(start, 0) + sound
    total, at = 0, 0
    for start in sorted(together, reverse=True):
        total = (total << (LANE_BITS * (at - start)) if total else 0) + together[start]
        at = start
    return delayed(total, at)


def quieter(sound: int, halvings: int) -> int:
    """The sound divided by `2 ** halvings`."""
    count = _room(sound)
    centre = bias(count)
    keep = _reach(0xFFFF >> halvings, count)
    return (((sound + centre) >> halvings) & keep) - (centre >> halvings)


def _room(sound: int) -> int:
    """Lanes that hold all of a sound, in round numbers so that constants can be shared."""
    return ((sound.bit_length() // LANE_BITS + 1) // 8192 + 1) * 8192


def split(sound: int, count: int) -> tuple[int, int]:
    """The first `count` lanes, biased, and what rings on after them, as a sound of its own."""
    lifted = sound + bias(count)
    return lifted & _mask(count), lifted >> (LANE_BITS * count)


def exceeds(biased: int, limit: int, count: int) -> bool:
    """Whether any sample of `count` biased lanes is `limit` or more away from silence."""
    centre = bias(count)
    reach = _reach(limit, count)
    return (biased - reach) & centre != 0 or (biased + reach) & centre != centre


def amplified(biased: int, gain: int, count: int) -> bytes:
    """PCM16 bytes of biased lanes times `gain`; the caller has checked that they fit."""
    centre = bias(count)
    loud = (biased - centre) * gain + centre
    return (loud ^ centre).to_bytes(2 * count, "little")


def interleaved(left: bytes, right: bytes) -> array[int]:
    """Stereo frames from two channels of PCM16."""
    frames = array("h", bytes(2 * len(left)))
    frames[0::2] = array("h", left)
    frames[1::2] = array("h", right)
    return frames
