"""Read MP3: a run of frames that each name their own length, and the tags around them.

Nothing here opens a file: bytes come through a ``read_at`` that the caller hands in. Any bytes give
an answer. Sources: ISO/IEC 11172-3, section 2.4.1.3; ISO/IEC 13818-3; for MPEG 2.5 and the tag in
front, id3.org.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from attrs import frozen

ReadAt = Callable[[int, int], bytes]
"""``read_at(offset, count)`` gives at most ``count`` bytes; fewer, or none, past the end."""

_MAX_FRAMES = 1_000_000  # seven hours
_MAX_TAGS = 8
_WINDOW = 64 * 1024


@frozen
class _Frame:
    length: int
    samples: int
    rate: int
    channels: int
    kind: int  # the header bits that stay the same from frame to frame


_RATES = (44100, 48000, 32000)
_KBPS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAME = 0xFFFE0C00  # sync, version, layer, sample rate


@frozen
class Frames:
    """What a run of frames amounts to.

    Attributes:
        seconds: length of the sound that is really there, or ``None`` when something else follows
            it, so that not all was counted.
        rate: samples per second, of its first frame.
        channels: 1 or 2.
    """

    seconds: float | None
    rate: int
    channels: int


def is_frame(head: bytes) -> bool:
    """Whether the first four bytes are the header of a frame."""
    return _frame(head[:4]) is not None


def measure(read_at: ReadAt, size: int) -> Frames | None:
    """Read a file of ``size`` bytes frame by frame; ``None`` when it holds no run of frames."""
    found = _first_frame(read_at, _after_tags(read_at), size)
    if found is None:
        return None
    at, first = found
    count, end = _walk(_buffered(read_at), at, size, first)
    whole = _is_tail(read_at, end, size)
    return Frames(count * first.samples / first.rate if whole else None, first.rate, first.channels)


@functools.lru_cache(maxsize=1024)
def _frame(header: bytes) -> _Frame | None:
    """Read a frame header of layer III, or ``None`` when these four bytes are none."""
    word = int.from_bytes(header, "big")
    version, kbps, rate = word >> 19 & 3, word >> 12 & 15, word >> 10 & 3
    if len(header) < 4 or word >> 21 != 0x7FF or version == 1 or word >> 17 & 3 != 1:
        return None
    if kbps in (0, 15) or rate == 3:
        return None
    hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples, table = (1152, _KBPS_1) if version == 3 else (576, _KBPS_2)
    length = samples * 125 * table[kbps - 1] // hertz + (word >> 9 & 1)
    return _Frame(length, samples, hertz, 1 if word >> 6 & 3 == 3 else 2, word & _SAME)


def _after_tags(read_at: ReadAt) -> int:
    at = 0
    for _ in range(_MAX_TAGS):
        head = read_at(at, 10)
        if len(head) < 10 or not head.startswith(b"ID3"):
            break
        length = functools.reduce(lambda total, byte: total << 7 | byte & 0x7F, head[6:], 0)
        at += 10 + length + (10 if head[5] & 0x10 else 0)
    return at


def _first_frame(read_at: ReadAt, at: int, size: int) -> tuple[int, _Frame] | None:
    """The first frame header that another of its kind, or the end of the file, follows."""
    window = read_at(at, _WINDOW)
    for match in re.finditer(rb"(?=(\xff[\xe0-\xff]..))", window, re.DOTALL):
        frame = _frame(match[1])
        if frame is None:
            continue
        start = at + match.start()
        follower = _frame(read_at(start + frame.length, 4))
        if start + frame.length == size or (follower and follower.kind == frame.kind):
            return start, frame
    return None


def _walk(read_at: ReadAt, at: int, size: int, first: _Frame) -> tuple[int, int]:
    """Count whole frames; gives their number and where the last of them ends."""
    for count in range(_MAX_FRAMES):
        frame = _frame(read_at(at, 4))
        if frame is None or frame.kind != first.kind or at + frame.length > size:
            return count, at
        at += frame.length
    return _MAX_FRAMES, at


def _is_tail(read_at: ReadAt, at: int, size: int) -> bool:
    """Whether nothing but a tag or the stump of one frame is left, so that all was counted."""
    rest = read_at(at, 8)
    frame = _frame(rest[:4])
    stump = len(rest) < 4 or (frame is not None and at + frame.length > size)
    return stump or rest.startswith((b"TAG", b"APETAGEX", b"LYRICSBE"))


def _buffered(read_at: ReadAt) -> ReadAt:
    """The same bytes, fetched by the block: for many small reads that go forward."""
    start, block = 0, b""

    def read(offset: int, count: int) -> bytes:
        nonlocal start, block
        if not start <= offset <= start + len(block) - count:
            start, block = offset, read_at(offset, _WINDOW)
        return block[offset - start : offset - start + count]

    return read
