"""Examine an MP4 file: its boxes must fill the file, and one must be ``moov``.

Sources: ISO/IEC 14496-12 (boxes, moov, mvhd, moof); Apple, "QuickTime File Format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .output import Content
from .sound import Completeness, ReadAt

_MAX_BOXES = 100_000
_NAME = re.compile(rb"[ -~\xa9]{4}")
_UNKNOWN_DURATIONS = (0, 2**32 - 1, 2**64 - 1)


def is_mp4(head: bytes) -> bool:
    """Return whether these are the first bytes of an MP4 or QuickTime file."""
    return head[4:8] in (b"ftyp", b"moov", b"wide", b"mdat")


def examine_mp4(read_at: ReadAt, size: int) -> Content:
    """Compare the boxes of an MP4 file with its size in bytes."""
    extension = ".mov" if read_at(4, 8) == b"ftypqt  " else ".mp4"
    names: set[bytes] = set()
    seconds, end = None, 0
    completeness = Completeness.EXACT
    for name, start, box_end in _boxes(read_at, size):
        names.add(name)
        if name == b"moov":
            seconds = _seconds(read_at(start, 44))
        if box_end is None:
            completeness = Completeness.STREAMING
        end = size if box_end is None else box_end
    if end > size or b"moov" not in names or not names & {b"mdat", b"moof"}:
        completeness = Completeness.SHORT
    elif end < size:
        completeness = Completeness.LONG
    elif b"moof" in names:  # a fragmented file may be cut between two fragments
        completeness = Completeness.UNKNOWN
    return Content(extension, completeness, seconds)


def _boxes(read_at: ReadAt, size: int) -> Iterator[tuple[bytes, int, int | None]]:
    """Yield the name, content offset and end of each box; end ``None``: up to the file's end."""
    at = 0
    for _ in range(_MAX_BOXES):
        head = read_at(at, 16)
        length, start = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), 16
        if len(head) < start or not _NAME.fullmatch(head[4:8]) or 0 < length < start:
            return
        yield head[4:8], at + start, at + length if length else None
        if not length or at + length >= size:
            return
        at += length


def _seconds(moov: bytes) -> float | None:
    """Return the duration from ``mvhd``, which is the first box in ``moov``."""
    if moov[4:8] != b"mvhd":
        return None
    wide = moov[8:9] == b"\1"
    scale = int.from_bytes(moov[28:32] if wide else moov[20:24], "big")
    duration = int.from_bytes(moov[32:40] if wide else moov[24:28], "big")
    return None if not scale or duration in _UNKNOWN_DURATIONS else duration / scale
