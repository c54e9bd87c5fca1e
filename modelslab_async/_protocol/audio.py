"""Examine audio: decide whether bytes are a complete sound, a part of one, or not a sound.

Nothing here opens a file, waits, or reads a clock: the caller passes a ``read_at``, through which
bytes are read a few at a time, so a file of any size is examined in constant memory. Nothing here
raises for bad bytes either: every sequence of bytes gets a verdict.

The API documents wav, mp3 and flac as output formats (ModelsLab docs, music-gen page), and links
have been seen to lead to HTML, XML, JSON and base64 text instead, with HTTP 200. What is put in
front of a file on its way (a mark of UTF-8, headers, a boundary, a tag) does not hide it. A format
more is one more module and its line in `_EXAMINERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import evolve

from . import mpeg
from .flac import examine_flac
from .sound import AudioFormat, Completeness, NotSound, Piece, ReadAt, Sound
from .wav import examine_wav

HEAD = 4096
"""So many first bytes, or all, tell whether there can be a sound: see `begins`."""


def examine(read_at: ReadAt, size: int) -> Sound | NotSound:
    """Judge a file of ``size`` bytes, reading only what is needed of it.

    A file cut inside its header is ``NotSound``, because neither its rate nor its duration is
    known. A silent file is a sound, too: see :func:`is_silent`.
    """
    found = begins(read_at(0, min(size, HEAD)))
    if isinstance(found, str):
        return NotSound(found)
    kind, at = found
    if kind is AudioFormat.MP3 and not at:
        behind = mpeg.after_tags(read_at)
        other = sniff(read_at(behind, 512)) if behind else kind
        if other is AudioFormat.FLAC:  # players skip the tag
            return examine_flac(read_at, size, behind)
        if other is AudioFormat.WAV:  # they do not
            kind, at = other, behind
    return _behind(at, kind, read_at, size) if at else _EXAMINERS[kind](read_at, size)


def _behind(at: int, kind: AudioFormat, read_at: ReadAt, size: int) -> Sound | NotSound:
    """Judge a file that has ``at`` bytes in front which are none of it; without them it is mended.

    What puts something in front puts something behind as well, as a boundary of multipart does: a
    WAV file says where that begins.
    """
    sound = _EXAMINERS[kind](lambda offset, count: read_at(at + offset, count), size - at)
    if isinstance(sound, NotSound):
        return sound
    ends = kind is AudioFormat.WAV and sound.completeness is Completeness.LONG
    end = sound.declared_size if ends else None
    pieces: tuple[Piece, ...] = sound.mended or (range(end or size - at),)
    return evolve(
        sound,
        declared_size=None if sound.declared_size is None else at + sound.declared_size,
        actual_size=size,
        note="something stands in front of it",
        mended=tuple(_moved(piece, at) for piece in pieces),
    )


def _moved(piece: Piece, by: int) -> Piece:
    return piece if isinstance(piece, bytes) else range(piece.start + by, piece.stop + by)


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


# What it looks like


_BEGINNINGS = re.compile(
    rb"(?:RIF[FX]|RF64|BW64)....WAVE|fLaC\0\0\0\x22|ID3[\2-\4]\0|\xff[\xe2-\xff]..", re.DOTALL
)


def begins(head: bytes) -> tuple[AudioFormat, int] | str:
    """The format whose sound begins in the first `HEAD` bytes, and where; or what they are instead.

    Good for refusing a body while it still arrives; :func:`examine` has the last word.
    """
    kind = sniff(head)
    if isinstance(kind, AudioFormat):
        return kind, 0
    if kind in _IN_FRONT:
        for match in _BEGINNINGS.finditer(head):
            at = match.start()
            inner = sniff(head[at:])
            # The marks of MP3 are short: in binary data they are found by chance.
            if isinstance(inner, AudioFormat) and (
                inner is not AudioFormat.MP3 or not _CONTROL.search(head, 0, at)
            ):
                return inner, at
    return kind


def refusal(head: bytes) -> str | None:
    """Why a body that begins so cannot become a sound, in a few words; ``None``: it still may."""
    found = begins(head)
    if not isinstance(found, str) or (found in _IN_FRONT and len(head) < HEAD):
        return None
    return found


def sniff(head: bytes) -> AudioFormat | str:
    """The format that the very first bytes show, or short words for what they show instead."""
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
_IN_FRONT = frozenset(("empty", "zero bytes", "text", "unknown binary data"))
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


_EXAMINERS: dict[AudioFormat, Callable[[ReadAt, int], Sound | NotSound]] = {
    AudioFormat.WAV: examine_wav,
    AudioFormat.FLAC: examine_flac,
    AudioFormat.MP3: mpeg.examine_mp3,
}
