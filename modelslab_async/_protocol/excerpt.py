"""Make a short, coarse copy of uncompressed sound, and its waveform, from a few of its bytes.

The copy has 8 bits, one channel and about 16 kHz: good enough to tell two tracks apart, and a tenth
of the size. Nothing here reads more than a few megabytes, however long the sound is.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from itertools import pairwise

from .sound import ReadAt
from .wav import Samples

_RATE = 16_000
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MAX_READ = 4 * 1024 * 1024
_WINDOW = 4096
_FLIP = bytes(value ^ 0x80 for value in range(256))  # 8-bit samples are unsigned, others are not
LOUDEST = 127
"""The height of a waveform at full scale."""


def excerpt(read_at: ReadAt, samples: Samples, most: int) -> tuple[bytes, float]:
    """The beginning of the sound as a WAV file of at most ``most`` bytes, and its seconds."""
    step = max(round(samples.rate / _RATE), 1)
    frames = min(samples.frames, (most - _HEADER.size) * step, _MAX_READ // samples.block)
    group = samples.channels * step  # consecutive values that become one: a mean of all channels
    values = _values(read_at(samples.start, frames * samples.block), samples)
    sums = map(sum, zip(*[iter(values)] * group, strict=False))
    if samples.is_float:
        data = bytes(128 + _level(total / group) for total in sums)
    else:  # the same in half the time
        data = bytes([128 + int(total) // group for total in sums])
    rate = samples.rate // step
    form = (b"fmt ", 16, 1, 1, rate, rate, 1, 8, b"data", len(data))
    header = _HEADER.pack(b"RIFF", _HEADER.size - 8 + len(data), b"WAVE", *form)
    return header + data, len(data) / rate


def peaks(read_at: ReadAt, samples: Samples, most: int) -> list[int]:
    """The loudness, up to `LOUDEST`, at ``most`` places from the beginning to the end."""
    count = min(samples.frames, most)
    bounds = [samples.frames * place // count for place in range(count + 1)] if count else []
    found = []
    for at, end in pairwise(bounds):
        frames = min(end - at, max(_WINDOW // samples.block, 1))
        data = read_at(samples.start + at * samples.block, frames * samples.block)
        values = _values(data, samples)
        found.append(max(abs(_level(min(values))), abs(_level(max(values)))) if values else 0)
    return found


def _values(data: bytes, samples: Samples) -> array[float] | array[int]:
    """All samples in order, at full scale 128; of integers, only the most significant byte."""
    data = data[: len(data) - len(data) % samples.block]
    if samples.is_float:
        floats = array("f" if samples.width == 4 else "d", data)
        if samples.order != sys.byteorder:
            floats.byteswap()
        return array("f", (value * 128 for value in floats))
    top = data[samples.width - 1 if samples.order == "little" else 0 :: samples.width]
    return array("b", top.translate(_FLIP) if samples.width == 1 else top)


def _level(value: float) -> int:
    """A value at full scale 128 as a level; what is not a number is silence."""
    return 0 if math.isnan(value) else int(max(-LOUDEST, min(LOUDEST, value)))
