"""Examine WAV more tolerantly than other programs do, and rebuild headers that they reject.

A WAV file is a list of chunks, each with a name and a size; chunks of odd size are padded. Some
encoders omit the pad byte, write wrong sizes, or leave sizes open because they write to a pipe.
This module recognises such a file as complete, but other programs may not read it. Therefore
`Sound.mended` has the same sound with a correct header.

Sources: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF, fmt,
data) and "Multiple Channel Audio Data and WAVE Files" (extensible); EBU Tech 3306 (RF64, ds64).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from attrs import evolve, frozen

from .sound import AudioFormat, Completeness, NotSound, Piece, ReadAt, Sound

_ORDER = Literal["little", "big"]
_MAX_CHUNKS = 10_000
_WINDOW = 64 * 1024
# Encoders that cannot seek back write 0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000 or 0x7FFFF000 (sox),
# some minus the header size. No song is 2 GiB long; a real file of that size is refused anyway.
_OPEN_FROM = 0x7FFF_0000
_MAX_SIZE = 0xFFFF_FFFF
_MAX_CHANNELS = 64
_MAX_RATE = 1_000_000
_CHUNK_NAME = re.compile(rb"[ -~]{4}")
_COMMON_CHUNKS = frozenset((b"fmt ", b"data", b"LIST", b"fact", b"JUNK", b"bext", b"ds64", b"id3 "))
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNCOMPRESSED = (_PCM, _FLOAT, 6, 7, _EXTENSIBLE)  # 6: A-law, 7: mu-law
_READABLE = frozenset({*((_PCM, width) for width in (1, 2, 3, 4)), (_FLOAT, 4), (_FLOAT, 8)})
_WIDTHS = (1, 2, 3, 4, 8)
_PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")


@frozen
class Chunk:
    """A chunk: its name, and where its body is."""

    name: bytes
    start: int
    length: int

    @property
    def end(self) -> int:
        """The offset after its body."""
        return self.start + self.length


@frozen
class _Wav:
    """The parts of a file. An end is ``None`` if the header leaves that size open."""

    mark: bytes
    order: _ORDER
    fmt: bytes
    chunks: tuple[Chunk, ...]  # before ``data``
    start: int
    riff_end: int | None
    data_end: int | None
    size: int

    def number(self, data: bytes) -> int:
        return int.from_bytes(data, self.order)

    @property
    def channels(self) -> int:
        return self.number(self.fmt[2:4])

    @property
    def rate(self) -> int:
        return self.number(self.fmt[4:8])

    @property
    def block(self) -> int:
        """Bytes of one sample of all channels; 0 if the format does not determine it."""
        tag, bits = self.number(self.fmt[:2]), self.number(self.fmt[14:16])
        if tag not in _UNCOMPRESSED or not bits:
            return 0
        # Trust the header's block size if the samples fit: 24-bit samples may take 4 bytes.
        each, rest = divmod(self.number(self.fmt[12:14]), self.channels)
        least = (bits + 7) // 8
        return self.channels * (each if not rest and each in _WIDTHS and each >= least else least)

    @property
    def sound_end(self) -> int:
        return self.size if self.data_end is None else min(self.size, self.data_end)


def examine_wav(read_at: ReadAt, size: int) -> Sound | NotSound:
    """Examine a file of ``size`` bytes that begins with a RIFF mark."""
    wav = _parsed(read_at, size)
    if isinstance(wav, NotSound):
        return wav
    present = wav.sound_end - wav.start
    if present <= 0 or _has_no_sound(wav, read_at):
        return NotSound("WAV header without any sound")
    per_second = wav.block * wav.rate or wav.number(wav.fmt[8:12])
    completeness, note = _compare(wav)
    sound = Sound(
        AudioFormat.WAV,
        seconds=present / per_second if per_second else None,
        sample_rate=wav.rate,
        channels=wav.channels,
        completeness=completeness,
        declared_size=max(_ends(wav), default=None),
        note=note,
    )
    return evolve(sound, mended=_with_strict_header(wav, completeness, read_at))


@frozen(kw_only=True)
class Samples:
    """Where the uncompressed samples of a WAV file are, and how each is stored.

    Attributes:
        start: offset of the first one.
        frames: how many there are per channel.
        width: bytes of one sample.
        is_float: whether they are floating-point numbers, else integers.
    """

    start: int
    frames: int
    rate: int
    channels: int
    width: int
    is_float: bool
    order: Literal["little", "big"]

    @property
    def block(self) -> int:
        """Bytes of one sample of all channels."""
        return self.width * self.channels


def samples_of(read_at: ReadAt, size: int) -> Samples | None:
    """Find the samples of a file that begins with a RIFF mark; ``None`` if they are encoded."""
    wav = _parsed(read_at, size)
    if isinstance(wav, NotSound) or not wav.block:
        return None
    tag, width = wav.number(wav.fmt[:2]), wav.block // wav.channels
    if tag == _EXTENSIBLE:
        tag = wav.number(wav.fmt[24:26])
    if (tag, width) not in _READABLE:
        return None
    return Samples(
        start=wav.start,
        frames=max(wav.sound_end - wav.start, 0) // wav.block,
        rate=wav.rate,
        channels=wav.channels,
        width=width,
        is_float=tag == _FLOAT,
        order=wav.order,
    )


def chunks_of(read_at: ReadAt, size: int) -> tuple[Chunk, ...]:
    """All chunks of a file that begins with a RIFF mark; empty if it holds no sound."""
    wav = _parsed(read_at, size)
    if isinstance(wav, NotSound):
        return ()
    found = [
        *(chunk for chunk in wav.chunks if chunk.name != b"data"),
        Chunk(b"data", wav.start, wav.sound_end - wav.start),
    ]
    at = wav.sound_end
    if (wav.sound_end - wav.start) % 2 and read_at(at, 4) not in _COMMON_CHUNKS:
        at += 1
    for _ in range(_MAX_CHUNKS):
        header = read_at(at, 8)
        chunk = Chunk(header[:4], at + 8, wav.number(header[4:]))
        if len(header) < 8 or not _CHUNK_NAME.match(header) or chunk.end > size:
            break
        found.append(chunk)
        at = chunk.end + chunk.length % 2
    return tuple(found)


def _has_no_sound(wav: _Wav, read_at: ReadAt) -> bool:
    """Return whether a size of 0 means no sound, not an open size: chunks fill the file."""
    return (
        wav.data_end is None
        and wav.number(read_at(wav.start - 4, 4)) == 0
        and _end_of_chunks(read_at, wav.start, wav) == wav.size
    )


def _parsed(read_at: ReadAt, size: int) -> _Wav | NotSound:
    head = read_at(0, 12)
    order: _ORDER = "big" if head.startswith(b"RIFX") else "little"
    found = tuple(_chunks(read_at, order, tolerant=True))
    fmt = _body(b"fmt ", found, read_at, 40)
    if len(fmt) < 16:
        return NotSound("WAV header without its format")
    riff = int.from_bytes(head[4:8], order)
    data = _data(found) or _search_data(read_at, order, max(size, riff + 8))
    if data is None:
        return NotSound("WAV header without its data")
    length = data.length
    if head.startswith((b"RF64", b"BW64")):
        riff, length = _long_sizes(_body(b"ds64", found, read_at, 16), riff, length)
    wav = _Wav(
        head[:4],
        order,
        fmt,
        tuple(chunk for chunk in found if chunk.start <= data.start - 8),
        data.start,
        None if _is_open(riff, 8, size) else riff + 8,
        None if _is_open(length, data.start, size) else data.start + length,
        size,
    )
    if not (0 < wav.channels <= _MAX_CHANNELS and 0 < wav.rate <= _MAX_RATE):
        return NotSound("WAV header with an impossible format")
    return wav


def _is_open(length: int, start: int, size: int) -> bool:
    return length == 0 or (length >= _OPEN_FROM and start + length > size)


def _chunks(read_at: ReadAt, order: _ORDER, *, tolerant: bool) -> Iterator[Chunk]:
    """Yield the chunks up to ``data``; ``tolerant`` accepts a missing pad byte."""
    at = 12
    for _ in range(_MAX_CHUNKS):
        header = read_at(at, 8)
        if len(header) < 8 or not _CHUNK_NAME.match(header):
            return
        chunk = Chunk(header[:4], at + 8, int.from_bytes(header[4:], order))
        yield chunk
        if chunk.name == b"data":
            return
        at = chunk.end
        if chunk.length % 2 and not (tolerant and read_at(at, 4) in _COMMON_CHUNKS):
            at += 1


def _data(chunks: tuple[Chunk, ...]) -> Chunk | None:
    return chunks[-1] if chunks and chunks[-1].name == b"data" else None


def _body(name: bytes, chunks: tuple[Chunk, ...], read_at: ReadAt, most: int) -> bytes:
    chunk = next((chunk for chunk in chunks if chunk.name == name), Chunk(name, 0, 0))
    return read_at(chunk.start, min(chunk.length, most))


def _search_data(read_at: ReadAt, order: _ORDER, limit: int) -> Chunk | None:
    """Find the data chunk after a chunk of wrong size, by its name and a plausible size."""
    window = read_at(12, _WINDOW)
    for match in re.finditer(b"data", window):
        start = 12 + match.end() + 4
        length = int.from_bytes(window[match.end() : match.end() + 4], order)
        fits = not length or length >= _OPEN_FROM or start + length <= limit
        if start <= 12 + len(window) and fits:
            return Chunk(b"data", start, length)
    return None


def _long_sizes(ds64: bytes, riff: int, length: int) -> tuple[int, int]:
    """Return the sizes of an RF64 file: the 64-bit size where the 32-bit size is left open."""
    if len(ds64) < 16:
        return riff, length
    long_riff, long_data = (int.from_bytes(ds64[at : at + 8], "little") for at in (0, 8))
    return (
        long_riff if riff in (0, _MAX_SIZE) else riff,
        long_data if length in (0, _MAX_SIZE) else length,
    )


def _ends(wav: _Wav) -> list[int]:
    return [end for end in (wav.riff_end, wav.data_end) if end is not None]


def _compare(wav: _Wav) -> tuple[Completeness, str]:
    ends, size = _ends(wav), wav.size
    if any(end > size for end in ends):
        whole = wav.data_end is not None and wav.data_end <= size
        return Completeness.SHORT, "the sound itself is whole" if whole else ""
    if wav.riff_end == size:
        return Completeness.EXACT, "" if len(ends) == 2 else "the header leaves a size open"
    # If only the data size matches the file, the RIFF size must be wrong.
    if wav.data_end == size:
        return Completeness.EXACT, "the header has a wrong size"
    if len(ends) < 2:
        return Completeness.STREAMING, "the header leaves a size open"
    return Completeness.LONG, "more bytes than the header names"


# Rebuilding the header


def _with_strict_header(
    wav: _Wav, completeness: Completeness, read_at: ReadAt
) -> tuple[Piece, ...]:
    """Return the pieces of the file with a strict header; empty if it needs none.

    A truncated file keeps its sizes, which show that it is truncated, if its chunks can be found.
    """
    strict = tuple(_chunks(read_at, wav.order, tolerant=False))
    data = _data(strict)
    found = data is not None and data.start == wav.start
    long_form = wav.mark in (b"RF64", b"BW64")
    fmt = _plain_fmt(wav)
    sizes = completeness is Completeness.SHORT or (
        wav.riff_end is not None and wav.data_end is not None and wav.riff_end >= wav.data_end
    )
    if found and sizes and not long_form and fmt == wav.fmt[:16]:
        return ()
    has_fmt = any(
        chunk.name == b"fmt " and chunk.start + len(fmt) <= wav.start - 8 for chunk in wav.chunks
    )
    if not has_fmt or wav.size > _MAX_SIZE - _WINDOW:
        return ()
    return _rebuilt(wav, fmt, read_at)


def _plain_fmt(wav: _Wav) -> bytes:
    """Return the first 16 bytes of ``fmt`` with correct sizes and the simplest format tag.

    PCM with one or two channels does not need the extensible tag, which some readers reject.
    """
    tag, fmt = wav.fmt[:2], wav.fmt[:16]
    if wav.number(tag) == _EXTENSIBLE and wav.channels <= 2 and wav.order == "little":
        valid = wav.number(wav.fmt[18:20])
        if wav.fmt[24:40] == _PCM_GUID and valid in (0, wav.number(fmt[14:16])):
            tag = _PCM.to_bytes(2, wav.order)
    sizes = fmt[8:14]
    if wav.block and wav.block != wav.number(fmt[12:14]):
        rate = wav.block * wav.rate
        sizes = rate.to_bytes(4, wav.order) + wav.block.to_bytes(2, wav.order)
    return tag + fmt[2:8] + sizes + fmt[14:]


def _rebuilt(wav: _Wav, fmt: bytes, read_at: ReadAt) -> tuple[Piece, ...]:
    before = tuple(_chunks_before(wav, fmt))
    sound = range(wav.start, wav.sound_end)
    pad = b"\0" * (len(sound) % 2)
    after = wav.sound_end
    if pad and read_at(after, 4) not in _COMMON_CHUNKS:
        after = min(wav.size, after + 1)
    end = _end_of_chunks(read_at, after, wav)
    riff = 4 + sum(map(len, before)) + 8 + len(sound) + len(pad) + (end - after)
    mark = wav.mark if wav.order == "big" else b"RIFF"
    pieces: tuple[Piece, ...] = (
        mark + riff.to_bytes(4, wav.order) + b"WAVE",
        *before,
        b"data" + len(sound).to_bytes(4, wav.order),
        sound,
        pad,
        range(after, wav.size),
    )
    return tuple(piece for piece in pieces if len(piece))


def _chunks_before(wav: _Wav, fmt: bytes) -> Iterator[Piece]:
    """Yield the chunks before ``data``, with their real length and a pad byte."""
    format_start = next(chunk.start for chunk in wav.chunks if chunk.name == b"fmt ")
    headers = [*(chunk.start - 8 for chunk in wav.chunks), wav.start - 8]
    for chunk, (_, following) in zip(wav.chunks, pairwise(headers), strict=True):
        end = chunk.end
        if end > following or following - end > chunk.length % 2:
            end = following  # its size is wrong: it ends at the next chunk
        length = end - chunk.start
        name = b"JUNK" if chunk.name == b"ds64" else chunk.name
        yield name + length.to_bytes(4, wav.order)
        if chunk.start == format_start:
            yield fmt
            yield range(chunk.start + len(fmt), end)
        else:
            yield range(chunk.start, end)
        yield b"\0" * (length % 2)


def _end_of_chunks(read_at: ReadAt, at: int, wav: _Wav) -> int:
    """Return the end of the chunks from ``at``; bytes after it are not part of the format."""
    for _ in range(_MAX_CHUNKS):
        header = read_at(at, 8)
        length = wav.number(header[4:])
        end = at + 8 + length + length % 2
        if len(header) < 8 or not _CHUNK_NAME.match(header) or end > wav.size:
            break
        at = end
    return at
