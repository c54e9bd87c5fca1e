"""Examine MP3: a sequence of frames that each state their length, and the tags around them.

This module does no I/O: the caller passes a ``read_at``. Invalid bytes never raise.

Sources: ISO/IEC 11172-3, section 2.4.1.3; ISO/IEC 13818-3; id3.org for MPEG 2.5 and the leading
tag; the Xing and Fraunhofer (VBRI) SDKs for the counts in the first frame.
"""

from __future__ import annotations

import functools
import re

from attrs import frozen

from .sound import AudioFormat, Completeness, NotSound, ReadAt, Sound

_MAX_FRAMES = 1_000_000  # seven hours
_MAX_TAGS = 8
_MAX_GAPS = 3
_WINDOW = 64 * 1024
_COUNTS = re.compile(rb"Xing|Info")
_TAIL = (b"TAG", b"APETAGEX", b"LYRICSBE")


@frozen
class _Frame:
    length: int
    samples: int
    rate: int
    channels: int
    kind: int  # the header bits that are equal in all frames


_RATES = (44100, 48000, 32000)
_KBPS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAME = 0xFFFE0C00  # sync, version, layer, sample rate


@frozen
class _Counts:
    """The frame and byte counts in the first frame; ``None`` if not stated.

    That frame has no sound; encoders differ on whether they count it.
    """

    frames: int | None
    bytes: int | None


@frozen
class _Run:
    """A sequence of complete frames.

    Attributes:
        count: the number of frames.
        end: the offset of its end.
        gaps: how often other bytes were between two frames.
        missing: the bytes missing from a truncated frame that follows; 0 if none does.
        tail: whether nothing follows, or only a tag.
    """

    count: int
    end: int
    gaps: int
    missing: int
    tail: bool


def is_frame(head: bytes) -> bool:
    """Return whether the first four bytes are a frame header."""
    return _frame(head[:4]) is not None


def after_tags(read_at: ReadAt) -> int:
    """Return the offset after the leading ID3v2 tags; 0 if there are none."""
    at = 0
    for _ in range(_MAX_TAGS):
        head = read_at(at, 10)
        if len(head) < 10 or not head.startswith(b"ID3"):
            break
        length = functools.reduce(lambda total, byte: total << 7 | byte & 0x7F, head[6:], 0)
        at += 10 + length + (10 if head[5] & 0x10 else 0)
    return at


def examine_mp3(read_at: ReadAt, size: int) -> Sound | NotSound:
    """Examine a file of ``size`` bytes frame by frame."""
    found = _first_frame(read_at, after_tags(read_at), size)
    if found is None:
        return NotSound("MP3 tag or mark without MP3 sound")
    at, first = found
    run = _walk(read_at, at, size, first)
    counts = _counts(read_at(at, 64), first)
    frames = run.count - (counts is not None)  # the frame with the counts has no sound
    completeness = _compare(run, counts, frames, run.end - at)
    if completeness is Completeness.UNKNOWN and _has_closing_tag(read_at, run.end, size):
        completeness = Completeness.EXACT
    known = run.tail or run.missing
    return Sound(
        AudioFormat.MP3,
        seconds=frames * first.samples / first.rate if known else None,
        sample_rate=first.rate,
        channels=first.channels,
        completeness=completeness,
        declared_size=_declared(completeness, run, size),
    )


def _compare(run: _Run, counts: _Counts | None, frames: int, length: int) -> Completeness:
    if counts and counts.frames is not None:
        if frames == counts.frames:
            return Completeness.EXACT if run.tail else Completeness.LONG
        # The count may include the first frame; then the number of bytes decides.
        if frames + 1 < counts.frames or (counts.bytes or 0) > length:
            return Completeness.SHORT
    if run.missing:
        return Completeness.SHORT
    if not run.tail:
        return Completeness.LONG
    if counts and counts.bytes == length and not run.gaps:
        return Completeness.EXACT
    return Completeness.UNKNOWN


def _declared(completeness: Completeness, run: _Run, size: int) -> int | None:
    match completeness:
        case Completeness.EXACT:
            return size
        case Completeness.LONG:
            return run.end
        case _:
            return size + run.missing if run.missing else None


def _counts(first: bytes, frame: _Frame) -> _Counts | None:
    """Parse the counts in the first frame; return ``None`` if it is a frame of sound."""
    if first[36:40] == b"VBRI":
        return _Counts(int.from_bytes(first[50:54], "big"), int.from_bytes(first[46:50], "big"))
    # They follow the side information: 9 to 32 zero bytes, perhaps with a checksum before them.
    mark = _COUNTS.search(first, 4 + 9, 4 + 32 + 2 + 4)
    if mark is None or first[6 : mark.start()].strip(b"\0"):
        return None
    flags = int.from_bytes(first[mark.end() : mark.end() + 4], "big")
    at = mark.end() + 4
    numbers = [int.from_bytes(first[at + 4 * n : at + 4 * n + 4], "big") for n in range(2)]
    frames = numbers.pop(0) if flags & 1 else None
    return _Counts(frames, numbers.pop(0) if flags & 2 else None)


@functools.lru_cache(maxsize=1024)
def _frame(header: bytes) -> _Frame | None:
    """Parse a layer III frame header; return ``None`` if these four bytes are not one."""
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


def _first_frame(
    read_at: ReadAt, at: int, size: int, kind: int | None = None
) -> tuple[int, _Frame] | None:
    """Find the first frame that is followed by a frame of its kind or by the end of the file."""
    window = read_at(at, _WINDOW)
    for match in re.finditer(rb"(?=(\xff[\xe0-\xff]..))", window, re.DOTALL):
        frame = _frame(match[1])
        if frame is None or kind not in (None, frame.kind):
            continue
        start = at + match.start()
        follower = _frame(read_at(start + frame.length, 4))
        if start + frame.length == size or (follower and follower.kind == frame.kind):
            return start, frame
    return None


def _walk(read_at: ReadAt, at: int, size: int, first: _Frame) -> _Run:
    """Count complete frames; skip other bytes between them, at most `_MAX_GAPS` times."""
    forward, gaps = _buffered(read_at), 0
    for count in range(_MAX_FRAMES):
        frame = _frame(forward(at, 4))
        if frame is None or frame.kind != first.kind:
            tail = at >= size or read_at(at, 8).startswith(_TAIL)
            more = (
                None if tail or gaps == _MAX_GAPS else _first_frame(read_at, at, size, first.kind)
            )
            if more is None:
                return _Run(count, at, gaps, _missing_in_header(read_at, at), tail)
            gaps += 1
            at, frame = more
        if at + frame.length > size:
            return _Run(count, at, gaps, at + frame.length - size, tail=False)
        at += frame.length
    return _Run(_MAX_FRAMES, at, gaps, 0, tail=False)


def _missing_in_header(read_at: ReadAt, at: int) -> int:
    """Return the number of bytes missing from a truncated frame header; 0 if there is none."""
    rest = read_at(at, 4)
    return 4 - len(rest) if len(rest) < 4 and rest.startswith(b"\xff") else 0


def _has_closing_tag(read_at: ReadAt, at: int, size: int) -> bool:
    """Return whether trailing tags end exactly at the file's end: then no frame is missing."""
    end = at
    while (head := read_at(end, 16)).startswith(b"APETAGEX"):
        end += 32 + int.from_bytes(head[12:16], "little")
    end += 128 if head.startswith(b"TAG") else 0
    return at < end == size


def _buffered(read_at: ReadAt) -> ReadAt:
    """Return a ``read_at`` that reads blocks, for many small reads in ascending order."""
    start, block = 0, b""

    def read(offset: int, count: int) -> bytes:
        nonlocal start, block
        if not start <= offset <= start + len(block) - count:
            start, block = offset, read_at(offset, _WINDOW)
        return block[offset - start : offset - start + count]

    return read
