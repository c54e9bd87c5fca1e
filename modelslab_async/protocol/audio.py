"""Say what some bytes are: a whole sound, a part of one, or no sound at all.

Nothing here opens a file, waits, or reads a clock: bytes come through a ``read_at`` that the caller
hands in, a few at a time, so a file of any size is judged in constant memory. Nothing here raises
for bad bytes either: every sequence of bytes gets a verdict.

The API documents wav, mp3 and flac as output formats (ModelsLab docs, music-gen page), and links
have been seen to lead to HTML, XML, JSON and base64 text instead, with HTTP 200.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from typing import Literal

from attrs import field, frozen

from . import mpeg
from .mpeg import ReadAt

_ORDER = Literal["little", "big"]
_MAX_CHUNKS = 10_000
_WINDOW = 64 * 1024
_OPEN_SIZES = (0, 0xFFFFFFFF)  # what an encoder writes when it cannot seek back to the header
_MAX_CHANNELS = 64
_MAX_RATE = 1_000_000


class AudioFormat(enum.Enum):
    """The formats that can come out of a music generation."""

    WAV = "wav"
    MP3 = "mp3"
    FLAC = "flac"

    @property
    def extension(self) -> str:
        """The file name extension with its dot, such as ``".wav"``."""
        return f".{self.value}"


class Completeness(enum.Enum):
    """How far the bytes vouch for their own length."""

    EXACT = "exact"
    """The sizes in the header agree with the number of bytes."""
    STREAMING = "streaming"
    """A size is left open (0 or 0xFFFFFFFF) and sound follows: something else must vouch."""
    SHORT = "short"
    """The header promises more bytes than there are."""
    LONG = "long"
    """All that the header promises is there, and more: fine if something else vouches."""
    UNKNOWN = "unknown"
    """The format does not say (mp3, flac): something else must vouch."""


@frozen
class Sound:
    """Bytes that are, or begin, a sound.

    Attributes:
        seconds: length of the sound that is really there, or ``None`` when it cannot be told.
        sample_rate: frames per second.
        completeness: whether the bytes are all of it.
        declared_size: size of the whole file in bytes by its header, ``None`` when left open.
        actual_size: size of the whole file in bytes.
        note: what is odd about it, in a few words; empty when nothing is.
    """

    format: AudioFormat
    seconds: float | None = field(kw_only=True)
    sample_rate: int = field(kw_only=True)
    channels: int = field(kw_only=True)
    completeness: Completeness = field(kw_only=True)
    declared_size: int | None = field(kw_only=True)
    actual_size: int = field(kw_only=True)
    note: str = field(kw_only=True, default="")


@frozen
class NotSound:
    """Bytes that cannot be used as a sound. ``reason`` is our own words, never the bytes'."""

    reason: str


def examine(read_at: ReadAt, size: int) -> Sound | NotSound:
    """Judge a file of ``size`` bytes, reading only what is needed of it.

    A file cut before its sound begins (inside the header) is ``NotSound``, for neither its rate nor
    its length can be told. Silence is sound: see :func:`is_silent`.
    """
    kind = sniff(read_at(0, min(size, 512)))
    if isinstance(kind, str):
        return NotSound(kind)
    return _EXAMINERS[kind](read_at, size)


def examine_bytes(data: bytes) -> Sound | NotSound:
    """Judge bytes in memory; see :func:`examine`."""
    return examine(lambda offset, count: data[offset : offset + count], len(data))


def is_silent(chunk: bytes) -> bool:
    """Whether every byte is zero, which is silence in every PCM but the unsigned 8-bit one.

    For a writer that sees all bytes of a sound pass by: a file is silent if each of its chunks
    after the header is. :func:`examine` does not read that much.
    """
    return chunk == bytes(len(chunk))


# What it looks like


def sniff(head: bytes) -> AudioFormat | str:
    """The format that the first bytes (about 512) show, or short words for what they show instead.

    Good for refusing a body while it still arrives; :func:`examine` has the last word.
    """
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return _sniff_riff(head)
    if head.startswith(b"fLaC"):
        return AudioFormat.FLAC
    if head.startswith(b"ID3") or mpeg.is_frame(head[:4]):
        return AudioFormat.MP3
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            return name
    return _sniff_text(head)


_MAGIC = (
    (0, b"OggS", "Ogg file"),
    (0, b"\x1f\x8b", "gzip data"),
    (0, b"PK\x03\x04", "ZIP archive"),
    (0, b"\x89PNG", "PNG image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"%PDF", "PDF document"),
    (0, b"\xff\xfe", "UTF-16 text"),
    (0, b"\xfe\xff", "UTF-16 text"),
    (4, b"ftyp", "MP4 file"),
    (8, b"AIFF", "AIFF file"),
)
_HTML = re.compile(rb"<(?:!doctype html|html|head|body)\b", re.IGNORECASE)
_BASE64 = re.compile(rb"(?:data:[\w/+.;=-]*;base64,.*|[A-Za-z0-9+/=_\r\n-]{16,})", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def _sniff_riff(head: bytes) -> AudioFormat | str:
    if len(head) < 12:
        return "WAV header cut short"
    return AudioFormat.WAV if head[8:12] == b"WAVE" else "RIFF file that is not WAVE"


def _sniff_text(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").strip()
    if not text:
        return "empty"
    if is_silent(text):
        return "zero bytes"
    if _CONTROL.search(text):
        return "unknown binary data"
    if text.startswith(b"<"):
        return "HTML page" if _HTML.search(text) else "XML"
    if text.startswith((b"{", b"[")):
        return "JSON"
    return "base64 text" if _BASE64.fullmatch(text) else "text"


# WAV: a list of chunks, each with a name and a size. Sources: Microsoft, "Multimedia Programming
# Interface and Data Specifications 1.0" (RIFF, fmt, data); EBU Tech 3306 (RF64, ds64).


_CHUNK_NAME = re.compile(rb"[ -~]{4}")
_COMMON_CHUNKS = frozenset((b"fmt ", b"data", b"LIST", b"fact", b"JUNK", b"bext", b"ds64", b"id3 "))
_UNCOMPRESSED = (1, 3, 6, 7, 0xFFFE)  # PCM, float, A-law, mu-law, extensible


def _examine_wav(read_at: ReadAt, size: int) -> Sound | NotSound:
    head = read_at(0, 12)
    order: _ORDER = "big" if head.startswith(b"RIFX") else "little"
    found = _chunks_up_to_data(read_at, order)
    fmt = _start_of(b"fmt ", found, read_at)
    if len(fmt) < 16:
        return NotSound("WAV header without its format")
    riff = int.from_bytes(head[4:8], order)
    place = found.get(b"data") or _search_data(read_at, order, max(size, riff + 8))
    if place is None:
        return NotSound("WAV header without its data")
    start, length = place
    if head.startswith((b"RF64", b"BW64")):
        riff, length = _long_sizes(_start_of(b"ds64", found, read_at), riff, length)
    riff_end = None if riff in _OPEN_SIZES else riff + 8
    data_end = None if length in _OPEN_SIZES else start + length
    return _judge_wav(fmt, order, start, riff_end, data_end, size)


def _chunks_up_to_data(read_at: ReadAt, order: _ORDER) -> dict[bytes, tuple[int, int]]:
    found: dict[bytes, tuple[int, int]] = {}
    for name, start, length in _chunks(read_at, order):
        found.setdefault(name, (start, length))
        if name == b"data":
            break
    return found


def _chunks(read_at: ReadAt, order: _ORDER) -> Iterator[tuple[bytes, int, int]]:
    at = 12
    for _ in range(_MAX_CHUNKS):
        header = read_at(at, 8)
        if len(header) < 8 or not _CHUNK_NAME.match(header):
            return
        length = int.from_bytes(header[4:], order)
        yield header[:4], at + 8, length
        at += 8 + length
        # A chunk of odd length is followed by a pad byte, which some encoders forget.
        if length % 2 and read_at(at, 4) not in _COMMON_CHUNKS:
            at += 1


def _start_of(name: bytes, found: dict[bytes, tuple[int, int]], read_at: ReadAt) -> bytes:
    start, length = found.get(name, (0, 0))
    return read_at(start, min(length, 16))


def _search_data(read_at: ReadAt, order: _ORDER, limit: int) -> tuple[int, int] | None:
    """Find the data chunk behind a chunk whose size is wrong, by its name and a size that fits."""
    window = read_at(12, _WINDOW)
    for match in re.finditer(b"data", window):
        start = 12 + match.end() + 4
        length = int.from_bytes(window[match.end() : match.end() + 4], order)
        if start <= 12 + len(window) and (length in _OPEN_SIZES or start + length <= limit):
            return start, length
    return None


def _long_sizes(ds64: bytes, riff: int, length: int) -> tuple[int, int]:
    """The 64-bit sizes of an RF64 file, each where its 32-bit size is left open."""
    if len(ds64) < 16:
        return riff, length
    long_riff, long_data = (int.from_bytes(ds64[at : at + 8], "little") for at in (0, 8))
    return (
        long_riff if riff in _OPEN_SIZES else riff,
        long_data if length in _OPEN_SIZES else length,
    )


def _judge_wav(
    fmt: bytes, order: _ORDER, start: int, riff_end: int | None, data_end: int | None, size: int
) -> Sound | NotSound:
    channels, rate = int.from_bytes(fmt[2:4], order), int.from_bytes(fmt[4:8], order)
    if not (0 < channels <= _MAX_CHANNELS and 0 < rate <= _MAX_RATE):
        return NotSound("WAV header with an impossible format")
    present = (size if data_end is None else min(size, data_end)) - start
    if present <= 0:
        return NotSound("WAV header without any sound")
    per_second = _bytes_per_second(fmt, order, channels, rate)
    completeness, note = _compare(riff_end, data_end, size)
    return Sound(
        AudioFormat.WAV,
        seconds=present / per_second if per_second else None,
        sample_rate=rate,
        channels=channels,
        completeness=completeness,
        declared_size=max((end for end in (riff_end, data_end) if end is not None), default=None),
        actual_size=size,
        note=note,
    )


def _bytes_per_second(fmt: bytes, order: _ORDER, channels: int, rate: int) -> int:
    # The block align field is not asked: it says nothing new, and some encoders leave it 0.
    tag, bits = int.from_bytes(fmt[0:2], order), int.from_bytes(fmt[14:16], order)
    if tag in _UNCOMPRESSED and bits:
        return channels * ((bits + 7) // 8) * rate
    return int.from_bytes(fmt[8:12], order)


def _compare(riff_end: int | None, data_end: int | None, size: int) -> tuple[Completeness, str]:
    ends = [end for end in (riff_end, data_end) if end is not None]
    if any(end > size for end in ends):
        whole = data_end is not None and data_end <= size
        return Completeness.SHORT, "the sound itself is whole" if whole else ""
    if len(ends) < 2:
        return Completeness.STREAMING, "the header leaves a size open"
    if riff_end == size:
        return Completeness.EXACT, ""
    return Completeness.LONG, "more bytes than the header names"


# FLAC: the first metadata block says it all. Source: RFC 9639, section 8.2.


def _examine_flac(read_at: ReadAt, size: int) -> Sound | NotSound:
    head = read_at(0, 42)
    if len(head) < 42:
        return NotSound("FLAC header cut short")
    packed = int.from_bytes(head[18:26], "big")
    rate, samples = packed >> 44, packed & (1 << 36) - 1
    if head[4] & 0x7F or not 0 < rate <= _MAX_RATE:
        return NotSound("FLAC header with an impossible format")
    return Sound(
        AudioFormat.FLAC,
        seconds=samples / rate if samples else None,
        sample_rate=rate,
        channels=(packed >> 41 & 7) + 1,
        completeness=Completeness.UNKNOWN,
        declared_size=None,
        actual_size=size,
    )


# MP3


def _examine_mp3(read_at: ReadAt, size: int) -> Sound | NotSound:
    frames = mpeg.measure(read_at, size)
    if frames is None:
        return NotSound("MP3 tag or mark without MP3 sound")
    return Sound(
        AudioFormat.MP3,
        seconds=frames.seconds,
        sample_rate=frames.rate,
        channels=frames.channels,
        completeness=Completeness.UNKNOWN,
        declared_size=None,
        actual_size=size,
    )


_EXAMINERS: dict[AudioFormat, Callable[[ReadAt, int], Sound | NotSound]] = {
    AudioFormat.WAV: _examine_wav,
    AudioFormat.FLAC: _examine_flac,
    AudioFormat.MP3: _examine_mp3,
}
