"""Examine audio: decide whether bytes are a complete sound, a part of one, or not a sound.

This module does no I/O: the caller passes a ``read_at`` that returns a few bytes at a time, so a
file of any size is examined in constant memory. Invalid bytes never raise; every sequence of bytes
gets a result.

The API documents wav, mp3 and flac as output formats (ModelsLab docs, music-gen page). Observed
links also returned HTML, XML, JSON and base64 text, with HTTP 200. A sound is found even if
something was prepended in transit (a UTF-8 byte order mark, headers, a boundary, a tag). To add a
format, add a module and its entry in `_EXAMINERS`.
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
"""Number of leading bytes that `begins` needs to find the start of a sound."""


def examine(read_at: ReadAt, size: int) -> Sound | NotSound:
    """Examine a file of ``size`` bytes; read only the necessary parts.

    A file cut inside its header is ``NotSound``, because its rate and duration are unknown. A
    silent file is a sound: see :func:`is_silent`.
    """
    found = begins(read_at(0, min(size, HEAD)))
    if isinstance(found, str):
        return NotSound(found)
    kind, at = found
    if kind is AudioFormat.MP3 and not at:
        after = mpeg.after_tags(read_at)
        other = sniff(read_at(after, 512)) if after else kind
        if other is AudioFormat.FLAC:  # players skip an ID3 tag before FLAC
            return examine_flac(read_at, size, after)
        if other is AudioFormat.WAV:  # but not before WAV
            kind, at = other, after
    return _examine_at(at, kind, read_at, size) if at else _EXAMINERS[kind](read_at, size)


def _examine_at(at: int, kind: AudioFormat, read_at: ReadAt, size: int) -> Sound | NotSound:
    """Examine a file that starts ``at`` bytes late; the mended file omits those bytes.

    Whatever prepends bytes often appends some too, such as a multipart boundary. The size in a WAV
    header says where those begin.
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
        note="preceded by other bytes",
        mended=tuple(_shifted(piece, at) for piece in pieces),
    )


def _shifted(piece: Piece, by: int) -> Piece:
    return piece if isinstance(piece, bytes) else range(piece.start + by, piece.stop + by)


def examine_bytes(data: bytes) -> Sound | NotSound:
    """Examine bytes in memory; see :func:`examine`."""
    return examine(lambda offset, count: data[offset : offset + count], len(data))


def is_silent(chunk: bytes) -> bool:
    """Return whether every byte is zero: silence in every PCM format except unsigned 8-bit.

    Meant for a writer, which sees every byte: a file is silent if each of its chunks after the
    header is. :func:`examine` does not read the whole file.
    """
    return chunk == bytes(len(chunk))


# Recognising a format by its first bytes

_SOUND_STARTS = re.compile(
    rb"(?:RIF[FX]|RF64|BW64)....WAVE|fLaC\0\0\0\x22|ID3[\2-\4]\0|\xff[\xe2-\xff]..", re.DOTALL
)


def begins(head: bytes) -> tuple[AudioFormat, int] | str:
    """Find a sound in the first `HEAD` bytes: return its format and offset, or what they are.

    Use it to reject a body while it is still arriving; :func:`examine` makes the final decision.
    """
    kind = sniff(head)
    if isinstance(kind, AudioFormat):
        return kind, 0
    if kind in _MAY_PRECEDE_SOUND:
        for match in _SOUND_STARTS.finditer(head):
            at = match.start()
            inner = sniff(head[at:])
            # An MP3 frame header is so short that binary data contain it by chance.
            if isinstance(inner, AudioFormat) and (
                inner is not AudioFormat.MP3 or not _CONTROL.search(head, 0, at)
            ):
                return inner, at
    return kind


def refusal(head: bytes) -> str | None:
    """Return why a body with these first bytes cannot be a sound; ``None`` if it still may be."""
    found = begins(head)
    if not isinstance(found, str) or (found in _MAY_PRECEDE_SOUND and len(head) < HEAD):
        return None
    return found


def sniff(head: bytes) -> AudioFormat | str:
    """Return the audio format that starts at byte 0, or a short description of the content."""
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
_MAY_PRECEDE_SOUND = frozenset(("empty", "zero bytes", "text", "unknown binary data"))
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
