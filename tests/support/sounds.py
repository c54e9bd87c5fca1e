"""WAV files of every kind of sample, with a sound that a test describes by its parts."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

RATE = 8000
TONE = [math.sin(2 * math.pi * at / 40) for at in range(40)]  # 200 Hz, whose mean is zero


def tone(seconds: float, level: float = 0.5) -> list[float]:
    """A tone whose peak is ``level``, where 1.0 is full scale."""
    return [level * TONE[at % 40] for at in range(round(seconds * RATE))]


def still(seconds: float, level: float = 0.0) -> list[float]:
    """The same sample again and again."""
    return [level] * round(seconds * RATE)


def faded(sound: Sequence[float], seconds: float) -> list[float]:
    """The sound with a straight fade to nothing over its last seconds."""
    last = round(seconds * RATE)
    start = len(sound) - last
    return [
        value * min(1.0, (len(sound) - 1 - at) / last) if at >= start else value
        for at, value in enumerate(sound)
    ]


def wav_of(*channels: Iterable[float], width: int = 2, is_float: bool = False) -> bytes:
    """A WAV file of these channels, of ``width`` bytes per sample."""
    frames = zip(*channels, strict=True)
    values = [value for frame in frames for value in frame]
    data = b"".join(_sample(value, width, is_float) for value in values)
    block = width * len(channels)
    form = (3 if is_float else 1, len(channels), RATE, RATE * block, block, 8 * width)
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, *form)
    pad = b"\0" * (len(data) % 2)
    body = b"WAVE" + fmt + b"data" + struct.pack("<I", len(data)) + data + pad
    return b"RIFF" + struct.pack("<I", len(body)) + body


def long_form(wav: bytes) -> bytes:
    """The same sound as RF64, whose sizes stand in a chunk of their own."""
    at = wav.index(b"data")
    size = len(wav) - at - 8
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, len(wav) + 28, size, 0, 0)
    data = b"data" + b"\xff" * 4 + wav[at + 8 :]
    return b"RF64" + b"\xff" * 4 + b"WAVE" + ds64 + wav[12:at] + data


def _sample(value: float, width: int, is_float: bool) -> bytes:
    if is_float:
        return struct.pack("<f" if width == 4 else "<d", value)
    full = 1 << (8 * width - 1)
    number = max(-full, min(full - 1, round(value * full)))
    if width == 1:
        return bytes([number + 128])
    return number.to_bytes(width, "little", signed=True)
