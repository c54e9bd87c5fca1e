"""Check uncompressed sound for faults that a listener would notice, at a small cost.

A flag is a hint for people, never a verdict: music may be meant that way, and it is paid for. Only
the two most significant bytes of each sample are read. All samples of a block go through a handful
of operations on whole byte strings, since a loop over samples would take twenty times as long.
"""

from __future__ import annotations

import enum
import hashlib
import math
import struct
import sys
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from attrs import Factory, frozen

from .sound import ReadAt
from .wav import Samples, samples_of

PLACES: Final = 240
"""The most peaks of one file, whatever its length: enough to draw, little enough to store."""
QUIET_DBFS: Final = -60.0
"""Sound below this counts as silence."""
DEAD_TAIL_SECONDS: Final = 1.0
DEAD_TAIL_SHARE: Final = 0.1
GAP_SECONDS: Final = 2.0  # pauses of music and speech are shorter
CLIPPED_SAMPLES: Final = 4
DC_SHARE: Final = 0.02
LENGTH_SHARE: Final = 0.1

_QUIET = 10 ** (QUIET_DBFS / 20)
_BLOCK_SECONDS = 0.1
_SUMMED = 400_000  # samples whose mean is taken, spread over the file
_FULL = 0x7FFF  # the largest code of an integer
_ONE = 0x3F80  # the code of the float 1.0
_MOST = 0x7F7F  # the code of the largest finite float


class Flag(enum.StrEnum):
    """What may be wrong with a sound."""

    SILENT = "silent"
    """All of it is below -60 dBFS."""
    DEAD_TAIL = "dead_tail"
    """It ends with at least a second, and a tenth of its length, below -60 dBFS."""
    GAP = "gap"
    """Between sounds, at least two seconds are below -60 dBFS."""
    CLIPPED = "clipped"
    """Four or more samples in a row of one channel are at full scale, of the same sign."""
    DC = "dc"
    """The mean of a channel is off zero by 2 % of full scale or more."""
    SHORT = "short"
    """It is over 10 % shorter than requested."""
    LONG = "long"
    """It is over 10 % longer than requested."""
    SAME_AS = "same_as"
    """Its samples are those of another row of its batch, whose number follows: ``same_as:7``."""


@frozen(kw_only=True)
class SoundCheck:
    """What was measured of a sound.

    Attributes:
        peaks: the highest level, 0 to 127 (full scale), at each of up to 240 places from the
            beginning to the end.
        peak_dbfs: of the highest sample, in dB, where 0 is full scale; ``None``: no sample is off
            zero.
        flags: what may be wrong with it, each a `Flag`; ``same_as:7`` names a row.
        digest: SHA-256 of its samples and their format, in hex.
    """

    peaks: bytes = Factory(bytes)
    peak_dbfs: float | None = None
    flags: tuple[str, ...] = ()
    digest: str = ""


def check_sound(read_at: ReadAt, size: int) -> SoundCheck | None:
    """Check a file of ``size`` bytes; ``None`` if it holds no samples that can be read.

    Those are integers of 8 to 32 bits and floats, in a WAV file. An MP3 or FLAC file has to be
    decoded first.
    """
    samples = samples_of(read_at, size) if read_at(0, 4) in _RIFF else None
    if samples is None or not samples.frames:
        return None
    places = min(samples.frames, PLACES)
    seconds = samples.frames / samples.rate
    blocks = math.ceil(seconds / places / _BLOCK_SECONDS)
    step = max(samples.frames * samples.channels // _SUMMED, 1)
    levels, clipped, sums, summed = list[int](), False, [0.0] * samples.channels, 0
    digest = hashlib.sha256(f"{samples.rate} {samples.channels} {samples.width}".encode())
    bounds = [samples.frames * place // places for place in range(places + 1)]
    for place, (begin, end) in enumerate(pairwise(bounds)):
        data = read_at(
            samples.start + begin * samples.block,
            (end - begin + CLIPPED_SAMPLES - 1) * samples.block,
        )
        inside = data[: (end - begin) * samples.block]
        digest.update(inside)
        planes = _planes(inside, samples)
        found = [_level(*part) for part in _parts(planes, end - begin, blocks, samples.channels)]
        levels += found
        if not clipped and max(found) >= (_ONE if samples.is_float else _FULL):
            clipped = _is_clipped(data, samples)
        if place % step == 0:
            summed += end - begin
            sums = [a + b for a, b in zip(sums, _sums(inside, samples), strict=True)]
    heights = [_amplitude(level, samples) for level in levels]
    flags = _silence(heights, seconds)
    if clipped:
        flags.append(Flag.CLIPPED)
    if any(abs(total) >= DC_SHARE * summed for total in sums):
        flags.append(Flag.DC)
    peak = max(heights)
    return SoundCheck(
        peaks=bytes(
            min(int(max(heights[at : at + blocks]) * 128), 127)
            for at in range(0, len(heights), blocks)
        ),
        peak_dbfs=round(20 * math.log10(peak), 2) + 0.0 if peak else None,
        flags=tuple(flag.value for flag in flags),
        digest=digest.hexdigest(),
    )


def length_flags(seconds: float | None, asked: tuple[float, float] | None) -> tuple[str, ...]:
    """The flag of a sound that is too short or too long.

    Args:
        seconds: its duration; ``None``: unknown.
        asked: the shortest and the longest duration that its request may have meant.
    """
    if seconds is None or asked is None:
        return ()
    if seconds < asked[0] * (1 - LENGTH_SHARE):
        return (Flag.SHORT.value,)
    return (Flag.LONG.value,) if seconds > asked[1] * (1 + LENGTH_SHARE) else ()


def _silence(heights: list[float], seconds: float) -> list[Flag]:
    """The flags of quiet stretches. A fade is none: only what lies below the limit counts."""
    loud = [at for at, height in enumerate(heights) if height >= _QUIET]
    if not loud:
        return [Flag.SILENT]
    each = seconds / len(heights)
    flags = []
    tail = (len(heights) - 1 - loud[-1]) * each
    if tail >= DEAD_TAIL_SECONDS and tail >= DEAD_TAIL_SHARE * seconds:
        flags.append(Flag.DEAD_TAIL)
    if any((after - before - 1) * each >= GAP_SECONDS for before, after in pairwise(loud)):
        flags.append(Flag.GAP)
    return flags


# A sample as the code of its magnitude: 15 bits, of which larger ones are louder. The two bytes of
# the codes of many samples are two byte strings, their planes.

_RIFF = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_SIGN = bytes(0 if byte < 128 else 255 for byte in range(256))
_MAGNITUDE = bytes(byte if byte < 128 else 255 - byte for byte in range(256))
_UNSIGNED = bytes(byte & 0x7F for byte in range(256))
_FLIP = bytes(byte ^ 0x80 for byte in range(256))
_FILL = bytes(255 if byte == 255 else 0 for byte in range(256))
_UP_TO = [bytes(range(most + 1)) for most in range(256)]
_ONLY = [bytes(255 if byte == one else 0 for byte in range(256)) for one in range(256)]
_FROM = [bytes(255 if byte >= least else 0 for byte in range(256)) for least in range(256)]


def _raw(data: bytes, samples: Samples) -> tuple[bytes, bytes]:
    """The two most significant bytes of all samples, as they are stored; integers signed."""
    width = samples.width
    if width == 1:
        return data.translate(_FLIP), data.translate(_FILL)  # so that 255 is full scale, too
    if width == 8:
        data, width = _singles(data, samples).tobytes(), 4
        is_little = sys.byteorder == "little"
    else:
        is_little = samples.order == "little"
    first, second = (width - 1, width - 2) if is_little else (0, 1)
    return data[first::width], data[second::width]


def _singles(data: bytes, samples: Samples) -> array[float]:
    """Floats of either width, in the order of this machine."""
    values = array(
        "f" if samples.width == 4 else "d", data[: len(data) // samples.width * samples.width]
    )
    if samples.order != sys.byteorder:
        values.byteswap()
    return values if samples.width == 4 else array("f", values)


def _planes(data: bytes, samples: Samples) -> tuple[bytes, bytes]:
    high, low = _raw(data, samples)
    if samples.is_float:
        return high.translate(_UNSIGNED), low
    return high.translate(_MAGNITUDE), _xor(low, high.translate(_SIGN))


def _parts(
    planes: tuple[bytes, bytes], frames: int, count: int, channels: int
) -> Iterator[tuple[bytes, bytes]]:
    """Cut the planes of so many frames into ``count`` blocks; one that is empty is silent."""
    bounds = [channels * (frames * place // count) for place in range(count + 1)]
    for begin, end in pairwise(bounds):
        yield planes[0][begin:end], planes[1][begin:end]


def _level(high: bytes, low: bytes) -> int:
    """The largest code of a block."""
    most = _largest(high)
    return most << 8 | _largest(_and(low, high.translate(_ONLY[most])))


def _largest(values: bytes) -> int:
    """`max`, in a sixth of the time: few values are larger than the largest of a sample."""
    guess = max(values[::16], default=0)
    return max(values.translate(None, _UP_TO[guess]), default=guess)


def _amplitude(code: int, samples: Samples) -> float:
    """1.0 is full scale."""
    if not samples.is_float:
        return (code + 1) / 32768 if code == _FULL else code / 32768
    single = min(code, _MOST) << 16
    return float(struct.unpack(">f", single.to_bytes(4, "big"))[0])


def _is_clipped(data: bytes, samples: Samples) -> bool:
    signs, _ = _raw(data, samples)
    high, low = _planes(data, samples)
    if samples.is_float:  # at 1.0 or beyond
        edge = _and(high.translate(_ONLY[_ONE >> 8]), low.translate(_FROM[_ONE & 0xFF]))
        full = _or(high.translate(_FROM[(_ONE >> 8) + 1]), edge)
    else:
        full = _and(high.translate(_ONLY[_FULL >> 8]), low.translate(_ONLY[_FULL & 0xFF]))
    negative = _and(full, signs.translate(_SIGN))
    run = b"\xff" * CLIPPED_SAMPLES
    channels = range(samples.channels)
    return any(
        run in plane[channel :: samples.channels]
        for plane in (negative, _xor(full, negative))
        for channel in channels
    )


def _sums(data: bytes, samples: Samples) -> list[float]:
    """The sum of the samples of each channel, where 1.0 is full scale."""
    channels = range(samples.channels)
    if samples.is_float:
        values = _singles(data, samples)
        parts = (values[channel :: samples.channels] for channel in channels)
        return [sum(value for value in part if -8 < value < 8) for part in parts]
    high, low = _raw(data, samples)
    sums = []
    for channel in channels:
        top = high[channel :: samples.channels]
        negative = len(top.translate(None, _UP_TO[127]))
        below = 0 if samples.width == 1 else sum(low[channel :: samples.channels])
        sums.append((sum(top) - 256 * negative + below / 256) / 128)
    return sums


# Python's long integers are by far the fastest way to combine two byte strings bit by bit.


def _and(one: bytes, other: bytes) -> bytes:
    both = int.from_bytes(one, "little") & int.from_bytes(other, "little")
    return both.to_bytes(len(one), "little")


def _or(one: bytes, other: bytes) -> bytes:
    both = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return both.to_bytes(len(one), "little")


def _xor(one: bytes, other: bytes) -> bytes:
    both = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return both.to_bytes(len(one), "little")
