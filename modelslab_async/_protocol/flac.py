"""Examine FLAC: compare the sample count in the header with the samples of all frames.

A frame does not state its length. The next frame is found by its sync code, its checksum and its
number, which must be the successor. The last frame is complete if its checksum is correct.

Source: RFC 9639, sections 8 and 9.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from attrs import frozen

from .sound import AudioFormat, Completeness, NotSound, ReadAt, Sound

_MAX_RATE = 1_000_000
_MAX_BLOCKS = 1000
_MAX_CANDIDATES = 1_000_000
_MAX_LAST_FRAME = 4 * 1024 * 1024
_WINDOW = 64 * 1024
_LONGEST_HEADER = 16
_ID3V1_SIZE = 128


@frozen
class _Frame:
    """A frame header: the frame's offset, its number and its sample count."""

    at: int
    number: int
    samples: int
    by_sample: bool  # ``number`` counts samples, not frames

    @property
    def following(self) -> int:
        return self.number + (self.samples if self.by_sample else 1)


def examine_flac(read_at: ReadAt, size: int, at: int = 0) -> Sound | NotSound:
    """Examine a file of ``size`` bytes whose FLAC marker is at ``at``, possibly after a tag."""
    head = read_at(at, 42)
    if len(head) < 42:
        return NotSound("FLAC header cut short")
    packed = int.from_bytes(head[18:26], "big")
    rate, total = packed >> 44, packed & (1 << 36) - 1
    if head[4] & 0x7F or not 0 < rate <= _MAX_RATE:
        return NotSound("FLAC header with an impossible format")
    start = _after_metadata(read_at, at + 4)
    counted, last = _count(read_at, start, size)
    if last is None:
        return NotSound("FLAC header without its sound")
    completeness = _compare(total, counted, _is_complete(read_at, last, size))
    return Sound(
        AudioFormat.FLAC,
        seconds=counted / rate,
        sample_rate=rate,
        channels=(packed >> 41 & 7) + 1,
        completeness=completeness,
        declared_size=size if completeness is Completeness.EXACT else None,
    )


def _compare(total: int, counted: int, whole: bool) -> Completeness:
    if not whole or counted < total:
        return Completeness.SHORT
    return Completeness.EXACT if counted == total else Completeness.UNKNOWN


def _after_metadata(read_at: ReadAt, at: int) -> int:
    for _ in range(_MAX_BLOCKS):
        header = read_at(at, 4)
        if len(header) < 4:
            break
        at += 4 + int.from_bytes(header[1:], "big")
        if header[0] & 0x80:
            break
    return at


def _count(read_at: ReadAt, start: int, size: int) -> tuple[int, _Frame | None]:
    """Return the number of samples in all frames from ``start``, and the last frame."""
    last = _frame(read_at(start, _LONGEST_HEADER), start)
    if last is None:
        return 0, None
    counted = last.samples
    for at, header in _candidates(read_at, start, size):
        frame = _frame(header, at)
        if frame and frame.by_sample == last.by_sample and frame.number == last.following:
            counted += frame.samples
            last = frame
    return counted, last


def _candidates(read_at: ReadAt, start: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield everything that looks like a frame header after the one at ``start``."""
    # Excludes reserved sizes, rates and channels; requires the first frame's blocking strategy.
    pattern = re.compile(re.escape(read_at(start, 2)) + rb"[\x10-\xfe][\x00-\xae]")
    seen = 0
    for at in range(start + 2, size, _WINDOW - _LONGEST_HEADER):
        window = read_at(at, _WINDOW)
        for match in pattern.finditer(window, 0, _WINDOW - _LONGEST_HEADER + 3):
            yield at + match.start(), window[match.start() : match.start() + _LONGEST_HEADER]
            seen += 1
            if seen > _MAX_CANDIDATES:
                return


def _frame(header: bytes, at: int) -> _Frame | None:
    """Parse a frame header; return ``None`` if these bytes are not one."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xFE != 0xF8 or header[3] & 1:
        return None
    size_code, rate_code = header[2] >> 4, header[2] & 15
    if not size_code or rate_code == 15 or header[3] >> 4 > 10:
        return None
    number, end = _coded_number(header)
    if number is None:
        return None
    samples, end = _samples(size_code, header, end)
    end += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if end >= len(header) or _crc(header[:end], 8, 0x07) != header[end]:
        return None
    return _Frame(at, number, samples, by_sample=bool(header[1] & 1))


def _coded_number(header: bytes) -> tuple[int | None, int]:
    """Return the UTF-8-coded number after the first four bytes, and the offset of its end."""
    first = header[4]
    more = 0 if first < 0x80 else 7 - (first ^ 0xFF).bit_length()
    tail = header[5 : 5 + more]
    if 0x80 <= first < 0xC0 or first == 0xFF or any(byte & 0xC0 != 0x80 for byte in tail):
        return None, 0
    bits = first if more == 0 else first & (0x3F >> more)
    number = functools.reduce(lambda total, byte: total << 6 | byte & 0x3F, tail, bits)
    return number, 5 + more


def _samples(code: int, header: bytes, at: int) -> tuple[int, int]:
    if code in (6, 7):
        width = code - 5
        return int.from_bytes(header[at : at + width], "big") + 1, at + width
    if code == 1:
        return 192, at
    return (144 << code if code < 6 else 1 << code), at


def _is_complete(read_at: ReadAt, last: _Frame, size: int) -> bool:
    """Return whether the last frame's checksum is correct; an ID3v1 tag may follow."""
    if size - last.at > _MAX_LAST_FRAME:
        return False
    ends = [size]
    if read_at(size - _ID3V1_SIZE, 3) == b"TAG":
        ends.append(size - _ID3V1_SIZE)
    return any(_crc_of(read_at, last.at, end) == 0 for end in ends)


def _crc_of(read_at: ReadAt, at: int, end: int) -> int:
    """Return the CRC-16 of a range; it is 0 if the range ends with its own checksum."""
    value = 0
    for start in range(at, end, _WINDOW):
        value = _crc(read_at(start, min(_WINDOW, end - start)), 16, 0x8005, value)
    return value


def _crc(data: bytes, width: int, polynomial: int, value: int = 0) -> int:
    table, mask = _table(width, polynomial), (1 << width) - 1
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> width - 8 ^ byte]
    return value


@functools.cache
def _table(width: int, polynomial: int) -> tuple[int, ...]:
    return tuple(_shifted(byte << width - 8, width, polynomial) for byte in range(256))


def _shifted(value: int, width: int, polynomial: int) -> int:
    for _ in range(8):
        value = value << 1 ^ (polynomial | 1 << width if value >> width - 1 else 0)
    return value
