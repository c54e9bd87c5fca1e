"""Examine an image by its structure: it is complete if its end marker is there.

Sources: PNG Specification (chunks, IEND); ITU-T T.81 (JPEG, EOI); GIF89a Specification (blocks,
trailer); WebP Container Specification (RIFF size).
"""

from __future__ import annotations

from collections.abc import Callable

from .output import Content
from .sound import Completeness, ReadAt

_PNG = b"\x89PNG\r\n\x1a\n"
_TAIL = 64 * 1024


def image_extension(head: bytes) -> str | None:
    """Return the extension of a format that can be examined, by its first bytes, or ``None``."""
    if head.startswith(_PNG):
        return ".png"
    if head.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return ".gif"
    return ".webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def examine_image(read_at: ReadAt, size: int) -> Content | None:
    """Compare the end of an image with its file size; ``None`` if its format is unknown."""
    extension = image_extension(read_at(0, 16))
    if extension is None:
        return None
    end = _ENDS[extension](read_at, size)
    if end is None or end > size:
        return Content(extension, Completeness.SHORT)
    return Content(extension, Completeness.LONG if end < size else Completeness.EXACT)


# Each function returns the offset of the image's end; ``None`` if the end is missing.


def _png_end(read_at: ReadAt, size: int) -> int | None:
    at = len(_PNG)
    while at + 12 <= size:
        head = read_at(at, 8)
        at += 12 + int.from_bytes(head[:4], "big")
        if head[4:] == b"IEND":
            return at
    return None


def _jpeg_end(read_at: ReadAt, size: int) -> int | None:
    """Find the last end marker; it never occurs in image data, only in earlier thumbnails."""
    start = max(0, size - _TAIL)
    found = read_at(start, _TAIL).rfind(b"\xff\xd9")
    return None if found < 0 else start + found + 2


def _webp_end(read_at: ReadAt, _size: int) -> int:
    length = int.from_bytes(read_at(4, 4), "little")
    return 8 + length + length % 2


def _gif_end(read_at: ReadAt, size: int) -> int | None:
    read_at = _buffered(read_at)
    at = 13 + _table(read_at(10, 1))
    while at < size:
        block = read_at(at, 10)
        if block[:1] == b"\x3b":
            return at + 1
        if block[:1] == b"\x21":
            at += 2
        elif block[:1] == b"\x2c":
            at += 11 + _table(block[9:10])
        else:
            return None
        while at < size and (length := read_at(at, 1)[0]):
            at += 1 + length
        at += 1
    return None


def _table(flags: bytes) -> int:
    """Return the size in bytes of the colour table that these flags declare."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _buffered(read_at: ReadAt) -> ReadAt:
    """Return a ``read_at`` that reads blocks, for many small reads in ascending order."""
    held, start = b"", 0

    def read(offset: int, count: int) -> bytes:
        nonlocal held, start
        if not start <= offset <= offset + count <= start + len(held):
            held, start = read_at(offset, _TAIL), offset
        return held[offset - start : offset - start + count]

    return read


_ENDS: dict[str, Callable[[ReadAt, int], int | None]] = {
    ".png": _png_end,
    ".jpg": _jpeg_end,
    ".gif": _gif_end,
    ".webp": _webp_end,
}
